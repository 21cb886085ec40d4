// SPDX-License-Identifier: MIT
/*
 * What test_stack.c looks at: a process (or thread) that sleeps in a known position. The function of interest
 * is work(), alone in its section. Says "START END" of it (hexadecimal) when it is in position. Also built
 * with musl, static.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <ucontext.h>
#endif

extern char __start_work_text[], __stop_work_text[];
static const char *argument;
static volatile int forever = 1; /* the compiler must not know that in_position() stays */

static __attribute__((noinline)) void in_position(void)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%lx %lx\n", (long)__start_work_text, (long)__stop_work_text);
	if (write(1, line, n) != n)
		_exit(1);
	while (forever)
		pause();
}

static __attribute__((noinline, section("work_text"))) void work(void (*then)(void))
{
	then();
	__asm__ volatile("" ::: "memory");
}

/* Starts with a trap: the interrupted address is the entry itself, or one byte into the function. */
void trap_at_entry(void);
void trap_inside(void);
__asm__(".section work_text,\"ax\",@progbits\n"
	".balign 16\n.globl trap_inside\n.type "
	"trap_inside,@function\ntrap_inside:\n.cfi_startproc\nnop\nud2\nret\n"
	".cfi_endproc\n.size trap_inside,.-trap_inside\n"
	".text\n.globl trap_at_entry\n.type "
	"trap_at_entry,@function\ntrap_at_entry:\n.cfi_startproc\nud2\nret\n"
	".cfi_endproc\n.size trap_at_entry,.-trap_at_entry\n"
	/* Calls its argument, and nothing says how to unwind it. */
	".globl without_cfi\n.type without_cfi,@function\nwithout_cfi:\npush %rbx\nsub $32,%rsp\ncall *%rdi\n"
	"add $32,%rsp\npop %rbx\nret\n.size without_cfi,.-without_cfi\n");
void without_cfi(void (*then)(void));

static void nothing(void)
{
}

/* A code address left over in a live frame. */
static __attribute__((noinline)) void with_stale_word(void (*then)(void))
{
	volatile uintptr_t left[8];
	for (int i = 0; i < 8; i++)
		left[i] = (uintptr_t)__start_work_text + 4;
	then();
	(void)left[3];
}

static void stale_position(void)
{
	with_stale_word(in_position);
}

static void stale_then_no_cfi(void)
{
	without_cfi(in_position);
}

static unsigned long depth;
static __attribute__((noinline)) int recurse(unsigned long n)
{
	if (!n) {
		in_position();
		return 0;
	}
	int r = recurse(n - 1);
	__asm__ volatile("" : "+r"(r)::"memory");
	return r + 1;
}

static void recurse_all(void)
{
	recurse(depth);
}

static void handler(int signal)
{
	(void)signal;
	in_position();
}

static void raise_it(void)
{
	raise(SIGUSR1);
}

static void use_alternate_stack(void *where, int signal)
{
	stack_t stack = {.ss_sp = where, .ss_size = 65536};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	if (where && sigaltstack(&stack, NULL))
		_exit(2);
	sigaction(signal, &action, NULL);
}

/* The alternate stack is an array of an outer frame: interrupted frames lie below it. */
static __attribute__((noinline)) void with_array_as_stack(void (*then)(void))
{
	char array[65536 + 64];
	use_alternate_stack(array, SIGUSR1);
	then();
	__asm__ volatile("" ::"r"(array) : "memory");
}

static void raise_in_work(void)
{
	work(raise_it);
}

#ifdef __GLIBC__
static ucontext_t here, there;
static void switch_over(void)
{
	swapcontext(&here, &there);
}

static void make_coroutine(void (*body)(void))
{
	getcontext(&there);
	there.uc_stack.ss_sp =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	there.uc_stack.ss_size = 1 << 20;
	there.uc_link = &here;
	makecontext(&there, body, 0);
}

static void coroutine_in_work(void)
{
	work(in_position);
}
#endif

static jmp_buf back;
static void setjmp_position(void)
{
	if (!setjmp(back))
		in_position();
}

static void jump_out(void)
{
	longjmp(back, 1);
}

/* An ELF file as one block of memory: like a payload image. argument: file:offset of void f(void (*)(void)).
 */
static void (*image_function)(void (*)(void));
static void load_image(void)
{
	char *colon = strrchr(argument, ':');
	*colon = '\0';
	int fd = open(argument, O_RDONLY);
	size_t size = lseek(fd, 0, SEEK_END);
	char *base = mmap(NULL, (size + 4095) & ~4095ul, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (base == MAP_FAILED || pread(fd, base, size, 0) != (ssize_t)size ||
	    mprotect(base, (size + 4095) & ~4095ul, PROT_READ | PROT_EXEC))
		_exit(3);
	printf("%lx %lx\n", (long)base, (long)((size + 4095) & ~4095ul));
	fflush(stdout);
	image_function = (void (*)(void (*)(void)))(uintptr_t)(base + strtoul(colon + 1, NULL, 16));
}

static void *thread_main(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void *thread_in_position(void *arg)
{
	((void (*)(void))(uintptr_t)arg)();
	return NULL;
}

static void work_in_position(void)
{
	work(in_position);
}

static void start_threads(int n)
{
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 0; i < n; i++) {
		pthread_t thread;
		if (pthread_create(&thread, &attr, thread_main, NULL))
			_exit(4);
	}
}

static void run_in_thread(void (*then)(void))
{
	pthread_t thread;
	pthread_create(&thread, NULL, thread_in_position, (void *)(uintptr_t)then);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	argument = argc > 2 ? argv[2] : "";
	if (!strcmp(mode, "inside"))
		work(in_position);
	if (!strcmp(mode, "outside")) {
		work(nothing);
		in_position();
	}
	if (!strcmp(mode, "stale"))
		with_stale_word(in_position);
	if (!strcmp(mode, "no-cfi"))
		without_cfi(in_position);
	if (!strcmp(mode, "no-cfi-inside"))
		work(stale_then_no_cfi);
	if (!strcmp(mode, "stale-above-no-cfi"))
		with_stale_word(stale_then_no_cfi);
	if (!strcmp(mode, "stale-below-no-cfi"))
		without_cfi(stale_position);
	depth = strtoul(argument, NULL, 0);
	if (!strcmp(mode, "deep"))
		work(recurse_all);
	if (!strcmp(mode, "deep-outside"))
		recurse_all();
	if (!strcmp(mode, "deep-stale"))
		with_stale_word(recurse_all);
	if (!strcmp(mode, "alternate-inside")) {
		use_alternate_stack(malloc(65536), SIGUSR1);
		work(raise_it);
	}
	if (!strcmp(mode, "alternate-outside")) {
		use_alternate_stack(malloc(65536), SIGUSR1);
		work(nothing);
		raise_it();
	}
	if (!strcmp(mode, "same-inside")) {
		use_alternate_stack(NULL, SIGILL);
		trap_inside();
	}
	if (!strcmp(mode, "same-entry")) {
		use_alternate_stack(NULL, SIGILL);
		trap_at_entry();
	}
	if (!strcmp(mode, "array-inside"))
		with_array_as_stack(raise_in_work);
	if (!strcmp(mode, "array-outside"))
		with_array_as_stack(raise_it);
#ifdef __GLIBC__
	if (!strcmp(mode, "coroutine-inside")) {
		make_coroutine(coroutine_in_work);
		switch_over();
	}
	if (!strcmp(mode, "coroutine-outside")) {
		make_coroutine(in_position);
		switch_over();
	}
	if (!strcmp(mode, "coroutine-suspended-inside")) {
		make_coroutine(in_position);
		work(switch_over);
	}
#endif
	if (!strcmp(mode, "setjmp-inside"))
		work(setjmp_position);
	if (!strcmp(mode, "setjmp-outside")) {
		if (!setjmp(back))
			work(jump_out);
		in_position();
	}
	if (!strcmp(mode, "image")) {
		load_image();
		image_function(in_position);
	}
	if (!strcmp(mode, "thread-inside"))
		run_in_thread(work_in_position);
	if (!strcmp(mode, "thread-outside"))
		run_in_thread(in_position);
	if (!strcmp(mode, "thread-stale"))
		run_in_thread(stale_position);
	if (!strcmp(mode, "threads")) {
		start_threads(atoi(argument));
		in_position();
	}
	return 9;
}
