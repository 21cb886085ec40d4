/* SPDX-License-Identifier: MIT */
/*
 * Threads of every kind of attitude towards signals, that call the functions of sites.h without a pause and
 * judge what they get by the epoch protocol (epoch.h). Arguments: the shared page's file, then KIND=NUMBER …
 *   plain    blocks nothing                       deaf     blocks all that sigfillset() names
 *   mute     blocks all 64, glibc's own included  notrap   blocks SIGTRAP alone
 *   pending  blocks SIGTRAP, SIGSEGV, SIGILL and SIGUSR1, and has SIGTRAP and SIGUSR1 pending, for ever
 *   traps    handler for SIGTRAP; now and then an int3 of the program's own
 *   faults   handlers for SIGSEGV and SIGILL on an alternate stack; now and then a real fault
 *   parent   blocks all that sigfillset() names, and makes threads named "kid", which sleep for ever
 *   ignore   1: SIGTRAP is ignored by the process
 *   timer, churn, fork, vfork, pause   as in life.h
 *   sites    how many of f are called              extras   0: only those
 * Commands: report, mark, first (epoch.h);
 *   counts   signals that came
 *   verify   every caller compares its mask, pending signals and alternate stack, the process its handlers,
 *            with what they were at the start
 *   park     a thread named "parked" goes to sleep inside of park(); unpark: what it returned
 *   spoil    changes something that verify must notice: mask, handler or pending
 */
#define _GNU_SOURCE
#include "life.h"

#include <sys/syscall.h>
#include <ucontext.h>

enum kind {
	PLAIN,
	DEAF,
	MUTE,
	NOTRAP,
	PENDING,
	TRAPS,
	FAULTS,
	N_KINDS
};
static const char *const kind_names[N_KINDS] = {"plain",   "deaf",  "mute",  "notrap",
						"pending", "traps", "faults"};

static _Atomic uint64_t raised_traps, handled_traps, raised_faults, handled_faults, unexpected, rt;
static _Atomic uint64_t verify_request, mask_errors, pending_errors, stack_errors;
static _Atomic int spoil_mask, spoil_pending;

/* As the kernel has it: glibc's sigaction() hides the restorer. */
struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};
static struct kernel_sigaction handlers[65];

static void handlers_read(struct kernel_sigaction h[65])
{
	memset(h, 0, sizeof(handlers));
	for (int s = 1; s <= 64; s++)
		syscall(SYS_rt_sigaction, s, NULL, &h[s], 8);
}

static uint64_t mask_now(void)
{
	uint64_t mask = 0;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	return mask;
}

static uint64_t pending_now(void)
{
	uint64_t set = 0;
	syscall(SYS_rt_sigpending, &set, 8);
	return set;
}

extern const char gate_own_trap[], gate_own_fault[], gate_own_illegal[];

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	(void)signal_number;
	if (c->uc_mcontext.gregs[REG_RIP] == (greg_t)gate_own_trap + 1 && info->si_code > 0)
		atomic_fetch_add(&handled_traps, 1);
	else
		atomic_fetch_add(&unexpected, 1);
}

static _Thread_local char *my_alternate_stack;
#define ALTERNATE_SIZE 65536

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	char here;
	uintptr_t depth = (uintptr_t)&here - (uintptr_t)my_alternate_stack;
	greg_t at = signal_number == SIGSEGV ? (greg_t)gate_own_fault : (greg_t)gate_own_illegal;
	greg_t address = signal_number == SIGSEGV ? 8 : at;
	if (c->uc_mcontext.gregs[REG_RIP] == at && (greg_t)info->si_addr == address && my_alternate_stack &&
	    depth < ALTERNATE_SIZE)
		atomic_fetch_add(&handled_faults, 1);
	else
		atomic_fetch_add(&unexpected, 1);
	c->uc_mcontext.gregs[REG_RIP] += 2; /* the length of either instruction */
	if (atomic_load(&unexpected) > 1000)
		_exit(4); /* a fault that comes again and again */
}

static void __attribute__((noinline)) own_trap(void)
{
	atomic_fetch_add(&raised_traps, 1);
	__asm__ volatile(".globl gate_own_trap\ngate_own_trap:	int3" ::: "memory");
}

static void __attribute__((noinline)) own_faults(void)
{
	atomic_fetch_add(&raised_faults, 2);
	__asm__ volatile("mov $8, %%eax\n"
			 ".globl gate_own_fault\ngate_own_fault:	mov (%%rax), %%eax\n"
			 ".globl gate_own_illegal\ngate_own_illegal:	ud2" ::
				 : "rax", "memory");
}

static void on_rt(int signal_number)
{
	(void)signal_number;
	atomic_fetch_add(&rt, 1);
}

#define BIT(s) (1ull << ((s)-1))

static void block(enum kind kind)
{
	sigset_t set;
	uint64_t all = UINT64_MAX;
	sigemptyset(&set);
	if (kind == DEAF)
		sigfillset(&set);
	if (kind == NOTRAP || kind == PENDING)
		sigaddset(&set, SIGTRAP);
	if (kind == PENDING) {
		sigaddset(&set, SIGSEGV);
		sigaddset(&set, SIGILL);
		sigaddset(&set, SIGUSR1);
	}
	if (kind == MUTE)
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	else
		pthread_sigmask(SIG_SETMASK, &set, NULL);
	if (kind == PENDING) {
		pthread_kill(pthread_self(), SIGTRAP);
		pthread_kill(pthread_self(), SIGUSR1);
	}
}

struct before {
	uint64_t mask, pending;
	stack_t stack;
};

static void remember(struct before *b)
{
	b->mask = mask_now();
	b->pending = pending_now();
	sigaltstack(NULL, &b->stack);
}

static void compare(const struct before *b)
{
	struct before now;
	remember(&now);
	if (now.mask != b->mask)
		atomic_fetch_add(&mask_errors, 1);
	/* The timer's and the tests' own signals come and go. */
	/* SIGCHLD, which nobody wants, is pending for a moment where a tracer is asked about it first. */
	if ((now.pending ^ b->pending) & ~(BIT(SIGALRM) | BIT(SIGRTMIN) | BIT(SIGCHLD)))
		atomic_fetch_add(&pending_errors, 1);
	if (now.stack.ss_sp != b->stack.ss_sp || now.stack.ss_size != b->stack.ss_size ||
	    now.stack.ss_flags != b->stack.ss_flags)
		atomic_fetch_add(&stack_errors, 1);
}

static void *caller(void *argument)
{
	enum kind kind = (enum kind)(uintptr_t)argument;
	struct before before;
	pthread_setname_np(pthread_self(), kind_names[kind]);
	if (kind == FAULTS) {
		my_alternate_stack = malloc(ALTERNATE_SIZE);
		stack_t ss = {.ss_sp = my_alternate_stack, .ss_size = ALTERNATE_SIZE};
		sigaltstack(&ss, NULL);
	}
	block(kind);
	remember(&before);
	struct epoch_caller *me = epoch_enlist();
	unsigned seed = (unsigned)(me - epoch_callers) + 1;
	for (unsigned turn = 0;; turn++) {
		epoch_call(&seed);
		epoch_count(me);
		if (kind == TRAPS && turn % 5000 == 0)
			own_trap();
		if (kind == FAULTS && turn % 5000 == 0)
			own_faults();
		if (kind == NOTRAP && atomic_load_explicit(&spoil_mask, memory_order_relaxed))
			block(PLAIN);
		if (kind == PENDING && atomic_load_explicit(&spoil_pending, memory_order_relaxed))
			pthread_kill(pthread_self(), SIGILL);
		uint64_t request = atomic_load_explicit(&verify_request, memory_order_relaxed);
		if (request != atomic_load_explicit(&me->verified, memory_order_relaxed)) {
			compare(&before);
			atomic_store(&me->verified, request);
		}
	}
	return NULL;
}

#define N_KIDS	   600
#define KIDS_PAUSE 1000 /* microseconds */

static void *kid(void *unused)
{
	pthread_setname_np(pthread_self(), "kid");
	for (;;)
		pause();
	return unused;
}

static void *parent(void *unused)
{
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	pthread_setname_np(pthread_self(), "parent");
	block(DEAF);
	for (int i = 0; i < N_KIDS; i++) {
		pthread_t t;
		if (!pthread_create(&t, &small, kid, NULL))
			atomic_fetch_add(&epoch_events, 1);
		usleep(KIDS_PAUSE);
	}
	for (;;)
		pause();
	return unused;
}

static void verify(void)
{
	struct kernel_sigaction now[65];
	uint64_t request = atomic_fetch_add(&verify_request, 1) + 1;
	int handler_errors = 0;
	for (unsigned i = 0; i < atomic_load(&epoch_n_callers); i++)
		while (atomic_load(&epoch_callers[i].verified) != request)
			usleep(200);
	handlers_read(now);
	for (int s = 1; s <= 64; s++)
		handler_errors += memcmp(&now[s], &handlers[s], sizeof(now[s])) != 0;
	victim_say("masks=%llu pendings=%llu stacks=%llu handlers=%d",
		   (unsigned long long)atomic_load(&mask_errors),
		   (unsigned long long)atomic_load(&pending_errors),
		   (unsigned long long)atomic_load(&stack_errors), handler_errors);
}

static int parking[2];
static pthread_t parked;
static _Atomic pid_t parked_tid;
static int parked_result;

/* Asleep in here until told. */
extern int park(void);
VICTIM int park(void)
{
	char c;
	if (read(parking[0], &c, 1) != 1)
		return -1;
	return sites_result(SITE_PARK);
}

static void *go_and_park(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "parked");
	atomic_store(&parked_tid, (pid_t)syscall(SYS_gettid));
	parked_result = park();
	return NULL;
}

/* Answers when the thread is asleep in its read(). */
static void start_parked(void)
{
	char path[64], text[256] = "";
	atomic_store(&parked_tid, 0);
	if (pthread_create(&parked, NULL, go_and_park, NULL)) {
		victim_say("error: no thread");
		return;
	}
	while (!atomic_load(&parked_tid))
		usleep(1000);
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)atomic_load(&parked_tid));
	for (;;) {
		FILE *f = fopen(path, "re");
		bool asleep = f && fgets(text, sizeof(text), f) && !strncmp(text, "0 ", 2); /* read */
		if (f)
			fclose(f);
		if (asleep)
			break;
		usleep(1000);
	}
	victim_say("parked");
}

static void spoil(const char *what)
{
	struct sigaction sa = {.sa_handler = on_rt};
	if (!strcmp(what, "mask"))
		atomic_store(&spoil_mask, 1);
	else if (!strcmp(what, "pending"))
		atomic_store(&spoil_pending, 1);
	else if (!strcmp(what, "handler"))
		sigaction(SIGUSR2, &sa, NULL);
	victim_say("spoiled");
}

static int start_kind(const char *kind, int n)
{
	static const struct {
		const char *name;
		void *(*body)(void *);
	} lives[] = {{"parent", parent}, {"churn", life_churn}, {"fork", life_fork}, {"vfork", life_vfork}};
	for (int k = 0; k < N_KINDS; k++)
		if (!strcmp(kind, kind_names[k])) {
			life_start(caller, (void *)(uintptr_t)k, n);
			return n;
		}
	for (size_t k = 0; k < sizeof(lives) / sizeof(lives[0]); k++)
		if (!strcmp(kind, lives[k].name)) {
			life_start(lives[k].body, NULL, n);
			return 0;
		}
	return -1;
}

int main(int argc, char **argv)
{
	char line[VICTIM_LINE];
	int status, timer_us = 0;
	unsigned callers = 0;
	if (life_is_child(argc, argv, &status))
		return status;
	if (argc < 2 || !epoch_open(argv[1]) || pipe2(parking, O_CLOEXEC))
		return 2;
	sites_prepare();
	struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	struct sigaction count = {.sa_handler = on_rt, .sa_flags = SA_RESTART};
	sigaction(SIGRTMIN, &count, NULL);
	for (int i = 2; i < argc; i++) {
		char kind[32] = "";
		int n = 0;
		if (sscanf(argv[i], "%31[a-z]=%d", kind, &n) != 2)
			return 2;
		if (!strcmp(kind, "timer"))
			timer_us = n;
		else if (!strcmp(kind, "pause"))
			life_pause_us = (useconds_t)n;
		else if (!strcmp(kind, "sites"))
			epoch_sites = (unsigned)n;
		else if (!strcmp(kind, "extras"))
			epoch_extras = n;
		else if (!strcmp(kind, "ignore"))
			signal(SIGTRAP, SIG_IGN);
		if (!strcmp(kind, "traps"))
			sigaction(SIGTRAP, &trap, NULL);
		if (!strcmp(kind, "faults")) {
			sigaction(SIGSEGV, &fault, NULL);
			sigaction(SIGILL, &fault, NULL);
		}
	}
	if (timer_us)
		life_timer(timer_us);
	for (int i = 2; i < argc; i++) {
		char kind[32] = "";
		int n = 0;
		sscanf(argv[i], "%31[a-z]=%d", kind, &n);
		if ((n = start_kind(kind, n)) > 0)
			callers += (unsigned)n;
	}
	while (atomic_load(&epoch_n_callers) < callers)
		usleep(1000);
	handlers_read(handlers);
	victim_ready();
	while (victim_next(line)) {
		if (epoch_command(line)) {
			continue;
		} else if (!strcmp(line, "counts")) {
			victim_say("rt=%llu ticks=%u traps=%llu handled_traps=%llu faults=%llu "
				   "handled_faults=%llu unexpected=%llu",
				   (unsigned long long)atomic_load(&rt), atomic_load(&life_ticks),
				   (unsigned long long)atomic_load(&raised_traps),
				   (unsigned long long)atomic_load(&handled_traps),
				   (unsigned long long)atomic_load(&raised_faults),
				   (unsigned long long)atomic_load(&handled_faults),
				   (unsigned long long)atomic_load(&unexpected));
		} else if (!strcmp(line, "verify")) {
			verify();
		} else if (!strcmp(line, "park")) {
			start_parked();
		} else if (!strcmp(line, "unpark")) {
			if (write(parking[1], "x", 1) == 1 && pthread_join(parked, NULL) == 0)
				victim_say("%d", parked_result);
		} else if (!strcmp(line, "pass")) { /* park(), not by way of a bed */
			if (write(parking[1], "x", 1) == 1)
				victim_say("%d", park());
		} else if (!strncmp(line, "spoil ", 6)) {
			spoil(line + 6);
		} else {
			victim_say("error: no command %s", line);
		}
	}
	fflush(NULL);
	_exit(0); /* with all threads in the middle of what they do */
}
