/* SPDX-License-Identifier: MIT */
/*
 * Threads that notice if anything of theirs is touched: one holds every general, flag, x87 and vector
 * register and its red zone in a loop that changes none of them; others sleep in futex, poll, nanosleep,
 * epoll_wait and read. A wrong value, an EINTR, a sleep cut short: a line that says so, and abort. "report"
 * answers how often each came round, "errno" that no thread's errno changed, "threads" their ids and where
 * their errno lies.
 *
 * pt_registers [spin]: with it every thread spins (main too, which then has no answers).
 * pt_registers stops: the process will be stopped and continued, which epoll_wait answers by EINTR.
 * pt_registers blocked: every signal is blocked in every thread.
 */
#define _GNU_SOURCE
#include "victim.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#define XSAVE_MAX   16384
#define XSAVE_PARTS 0xe7ull /* x87, SSE, AVX, AVX-512 */
#define SLEEP_MS    10
#define ERRNO_MARK  4242

struct block {
	_Alignas(64) uint8_t in[XSAVE_MAX];
	uint8_t out[XSAVE_MAX];
	uint64_t general[16]; /* rax rbx rcx rdx rsi rdi rbp r8..r15, flags */
	uint64_t red_zone[16];
};

/* Loads in, holds for count rounds, stores out. The loop's instructions change rcx only, and no flag. */
extern void hold(struct block *block, uint64_t count, uint64_t parts);
__asm__(".text\n.type hold, @function\nhold:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push "
	"%r15\n	sub $8, %rsp\n"
	"	mov %rsi, %rcx\n"
	"	mov %edx, %eax\n	xor %edx, %edx\n	mov %rax, (%rsp)\n"
	"	xrstor64 (%rdi)\n"
	"	pushq $0xcd7\n	popfq\n" /* CF PF AF ZF SF IF DF OF */
	"	mov $0x1111111111111101, %rax\n"
	".irp k, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
	"	lea \\k(%rax), %rbx\n	mov %rbx, -8 * \\k(%rsp)\n.endr\n"
	"	mov $0x2222222222222202, %rbx\n	mov $0x4444444444444404, %rdx\n	mov $0x5555555555555505, "
	"%rsi\n"
	"	mov $0x7777777777777707, %rbp\n	mov $0x8888888888888808, %r8\n	mov $0x9999999999999909, "
	"%r9\n"
	"	mov $0xaaaaaaaaaaaaaa0a, %r10\n	mov $0xbbbbbbbbbbbbbb0b, %r11\n	mov $0xcccccccccccccc0c, "
	"%r12\n"
	"	mov $0xdddddddddddddd0d, %r13\n	mov $0xeeeeeeeeeeeeee0e, %r14\n	mov $0xffffffffffffff0f, "
	"%r15\n"
	".globl hold_loop\nhold_loop:\n"
	"1:	lea -1(%rcx), %rcx\n	jrcxz 2f\n	jmp 1b\n"
	"2:\n"
	".set G, 2 * 16384\n"
	"	mov %rax, G(%rdi)\n	mov %rbx, G+8(%rdi)\n	mov %rcx, G+16(%rdi)\n	mov %rdx, "
	"G+24(%rdi)\n"
	"	mov %rsi, G+32(%rdi)\n	mov %rdi, G+40(%rdi)\n	mov %rbp, G+48(%rdi)\n	mov %r8, G+56(%rdi)\n"
	"	mov %r9, G+64(%rdi)\n	mov %r10, G+72(%rdi)\n	mov %r11, G+80(%rdi)\n	mov %r12, "
	"G+88(%rdi)\n"
	"	mov %r13, G+96(%rdi)\n	mov %r14, G+104(%rdi)\n	mov %r15, G+112(%rdi)\n"
	".irp k, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
	"	mov -8 * \\k(%rsp), %rbx\n	mov %rbx, G + 128 + 8 * (\\k - 1)(%rdi)\n.endr\n"
	"	pushfq\n	pop %rbx\n	mov %rbx, G+120(%rdi)\n	cld\n"
	"	mov (%rsp), %rax\n	xor %edx, %edx\n"
	"	xsave64 16384(%rdi)\n"
	"	fninit\n	vzeroupper\n"
	"	add $8, %rsp\n	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop "
	"%rbp\n	pop %rbx\n	ret\n"
	".size hold, . - hold\n");

static const uint64_t general[16] = {
	0x1111111111111101,
	0x2222222222222202,
	0,
	0x4444444444444404,
	0x5555555555555505,
	0 /* rdi */,
	0x7777777777777707,
	0x8888888888888808,
	0x9999999999999909,
	0xaaaaaaaaaaaaaa0a,
	0xbbbbbbbbbbbbbb0b,
	0xcccccccccccccc0c,
	0xdddddddddddddd0d,
	0xeeeeeeeeeeeeee0e,
	0xffffffffffffff0f,
	0xed7,
};

static atomic_ulong rounds[6];
static const char *const names[6] = {"hold", "futex", "poll", "nanosleep", "epoll", "read"};
static pid_t tids[6];
static int *errnos[6];
static atomic_int word;
static int ping[2];
static uint64_t parts;
static uint32_t xsave_size;
static bool stops;

static _Noreturn void wrong(const char *what, unsigned long a, unsigned long b)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "WRONG: %s: %#lx, %#lx\n", what, a, b);
	if (write(1, line, (size_t)n) != n || write(2, line, (size_t)n) != n)
		_exit(4);
	abort();
}

static void check_errno(int i)
{
	if (errno != ERRNO_MARK)
		wrong("errno", (unsigned long)i, (unsigned long)errno);
}

/* Known bytes in every register the CPU has, with values that are valid for x87 and MXCSR. */
static void fill(struct block *block)
{
	memset(block, 0, sizeof(*block));
	const uint16_t control = 0x27f;
	const uint32_t mxcsr = 0x5f80; /* rounds up */
	memcpy(block->in, &control, 2);
	memcpy(block->in + 24, &mxcsr, 4);
	for (size_t i = 32; i < 160; i++) /* x87: 80-bit numbers with a valid exponent */
		block->in[i] = (i - 32) % 16 == 9   ? 0x3f
			       : (i - 32) % 16 == 8 ? 0xff
			       : (i - 32) % 16 < 8  ? 0x80 | i
						    : 0;
	for (size_t i = 160; i < 416; i++)
		block->in[i] = (uint8_t)(i * 7);
	block->in[4] = 0xff; /* all eight in use */
	for (size_t i = 576; i < xsave_size; i++)
		block->in[i] = (uint8_t)(i * 13);
	memcpy(block->in + 512, &parts, 8);
}

static void compare(const struct block *block)
{
	for (int i = 0; i < 16; i++)
		if (block->general[i] != (i == 5 ? (uint64_t)(uintptr_t)block : general[i]))
			wrong("general register", (unsigned long)i, block->general[i]);
	for (int i = 0; i < 16; i++)
		if (block->red_zone[i] != general[0] + (uint64_t)i + 1)
			wrong("red zone", (unsigned long)i, block->red_zone[i]);
	for (size_t i = 0; i < 416; i++)
		if (block->out[i] != block->in[i] && !(i >= 28 && i < 32) && !(i >= 6 && i < 24))
			wrong("x87 or xmm byte", i, block->out[i]);
	for (int part = 2; part < 8; part++) {
		uint32_t size, offset, c, d;
		if (!(parts >> part & 1) || !__get_cpuid_count(13, (unsigned)part, &size, &offset, &c, &d))
			continue;
		for (uint32_t i = offset; i < offset + size; i++)
			if (block->out[i] != block->in[i])
				wrong("vector byte", i, block->out[i]);
	}
}

static void *holder(void *argument)
{
	static struct block main_block;
	struct block *block = argument ? aligned_alloc(64, sizeof(*block)) : &main_block;
	tids[0] = gettid();
	errnos[0] = &errno;
	fill(block);
	errno = ERRNO_MARK;
	for (;;) {
		hold(block, 3000000, parts);
		compare(block);
		check_errno(0);
		atomic_fetch_add(&rounds[0], 1);
	}
	return NULL;
}

static void begin(int i)
{
	tids[i] = gettid();
	errnos[i] = &errno;
	errno = ERRNO_MARK;
}

static void came_round(int i)
{
	check_errno(i);
	atomic_fetch_add(&rounds[i], 1);
}

static long raw(long number, long a, long b, long c, long d)
{
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return r;
}

static void *sleep_futex(void *argument)
{
	(void)argument;
	begin(1);
	for (;;) {
		int seen = atomic_load(&word);
		long r = raw(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, seen, 0);
		if (r != 0 && r != -EAGAIN)
			wrong("futex", (unsigned long)r, 0);
		came_round(1);
	}
	return NULL;
}

static void slept(const char *what, long r, unsigned long long begin_ns)
{
	unsigned long long ns = victim_now_ns() - begin_ns;
	if (r != 0)
		wrong(what, (unsigned long)r, 0);
	if (ns < SLEEP_MS * 1000000ull)
		wrong(what, ns, SLEEP_MS);
}

static void *sleep_poll(void *argument)
{
	struct pollfd none = {.fd = -1};
	(void)argument;
	begin(2);
	for (;;) {
		unsigned long long t = victim_now_ns();
		slept("poll", raw(SYS_poll, (long)&none, 1, SLEEP_MS, 0), t);
		came_round(2);
	}
	return NULL;
}

static void *sleep_nanosleep(void *argument)
{
	struct timespec time = {.tv_nsec = SLEEP_MS * 1000000};
	(void)argument;
	begin(3);
	for (;;) {
		unsigned long long t = victim_now_ns();
		slept("nanosleep", raw(SYS_nanosleep, (long)&time, 0, 0, 0), t);
		came_round(3);
	}
	return NULL;
}

static void *sleep_epoll(void *argument)
{
	struct epoll_event event;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	(void)argument;
	begin(4);
	for (;;) {
		unsigned long long t = victim_now_ns();
		long r = raw(SYS_epoll_wait, fd, (long)&event, 1, SLEEP_MS);
		if (r != -EINTR || !stops)
			slept("epoll_wait", r, t);
		came_round(4);
	}
	return NULL;
}

static void *sleep_read(void *argument)
{
	char c;
	(void)argument;
	begin(5);
	for (;;) {
		long r = raw(SYS_read, ping[0], (long)&c, 1, 0);
		if (r != 1)
			wrong("read", (unsigned long)r, 0);
		came_round(5);
	}
	return NULL;
}

/* What a controller may call: clobbers everything that a function may, and errno. */
extern uint64_t called(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
VICTIM uint64_t called(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	errno = ENOTTY;
	syscall(SYS_getppid);
	__asm__ volatile("fninit\n fldpi\n pxor %%xmm0, %%xmm0\n pcmpeqd %%xmm15, %%xmm15\n vzeroall\n" ::
				 : "memory");
	if (parts & 0xe0)
		__asm__ volatile(
			"vpxorq %%zmm31, %%zmm31, %%zmm31\n vpternlogd $255, %%zmm17, %%zmm17, %%zmm17\n"
			"kxorw %%k1, %%k1, %%k1\n" ::
				: "memory");
	uint32_t mxcsr = 0x1f80;
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
	double x = (double)a / 3; /* crashes if the stack is not aligned */
	_Alignas(16) volatile float aligned[4];
	__asm__ volatile("movaps %%xmm1, %0" : "=m"(aligned));
	return x < 0 ? 0 : a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f;
}

extern void faults(volatile int *address);
VICTIM void faults(volatile int *address)
{
	*address = 1;
}

extern void never_returns(void);
VICTIM void never_returns(void)
{
	for (;;)
		OPAQUE();
}

extern long sleeps(void);
VICTIM long sleeps(void)
{
	struct timespec time = {.tv_sec = 1000};
	return raw(SYS_nanosleep, (long)&time, 0, 0, 0);
}

int main(int argc, char **argv)
{
	static void *(*const run[6])(void *) = {holder,		 sleep_futex, sleep_poll,
						sleep_nanosleep, sleep_epoll, sleep_read};
	bool spin = argc > 1 && !strcmp(argv[1], "spin");
	uint32_t eax, edx, b, c, d;
	stops = argc > 1 && !strcmp(argv[1], "stops");
	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	parts = eax & XSAVE_PARTS;
	if (!__get_cpuid_count(13, 0, &b, &xsave_size, &c, &d) || xsave_size > XSAVE_MAX || pipe(ping))
		return 1;
	if (xsave_size > 2816)
		xsave_size = 2816; /* no further than the parts used here */
	if (argc > 1 && !strcmp(argv[1], "blocked")) {
		sigset_t all;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, NULL);
	}
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	for (int i = 0; i < (spin ? 1 : 6); i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, run[i], &word))
			return 1;
	}
	for (int i = 0; i < (spin ? 1 : 6); i++)
		while (!*(int *volatile *)&errnos[i])
			sched_yield();
	victim_say("ready called=%lx faults=%lx never=%lx sleeps=%lx", (unsigned long)(uintptr_t)called,
		   (unsigned long)(uintptr_t)faults, (unsigned long)(uintptr_t)never_returns,
		   (unsigned long)(uintptr_t)sleeps);
	if (spin)
		holder(NULL);
	char line[VICTIM_LINE];
	while (victim_next(line)) {
		if (!strcmp(line, "report")) {
			victim_say("%lu %lu %lu %lu %lu %lu", rounds[0], rounds[1], rounds[2], rounds[3],
				   rounds[4], rounds[5]);
		} else if (!strcmp(line, "wake")) {
			atomic_fetch_add(&word, 1);
			syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
			if (write(ping[1], "x", 1) != 1)
				return 1;
			victim_say("woken");
		} else if (!strcmp(line, "threads")) {
			char text[VICTIM_LINE];
			int n = 0;
			for (int i = 0; i < 6; i++)
				n += snprintf(text + n, sizeof(text) - (size_t)n, "%s:%d:%lx ", names[i],
					      tids[i], (unsigned long)(uintptr_t)errnos[i]);
			victim_say("%s", text);
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}
