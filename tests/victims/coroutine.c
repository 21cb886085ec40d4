/* SPDX-License-Identifier: MIT */
/*
 * Coroutines that are suspended inside a function which is to be replaced, on stacks of several kinds; and
 * memory of the kinds that a look through all of it meets.
 *
 * enter KIND | finish | abandon | call N | worker [arena] | leave | stale | clean | entry | writeonly |
 * shared | huge | far | beyond FILE | grow FILE | fault | touch MB | rss
 */
#define _GNU_SOURCE
#include "victim.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define STACK_SIZE (64 * 1024)
#define PAGE	   4096
#define VAST_SIZE  (64ull << 30)
#define ARENA_SIZE (1024 * 1024)

static ucontext_t caller, coroutine;
static bool inside;
static int result;

/* Back to where the coroutine was entered; nothing on a thread's own stack. */
extern void yield_now(void);
VICTIM void yield_now(void)
{
	if (inside)
		swapcontext(&coroutine, &caller);
	OPAQUE();
}

/* What tests replace. */
extern int step(int n);
VICTIM int step(int n)
{
	OPAQUE();
	yield_now();
	OPAQUE();
	return n + 1;
}

static void body(void)
{
	result = step(1);
}

/* The compiler may not see that it goes on in the dark: what is below is overwritten by nobody. */
static int call_deeply(int n)
{
	char room[32768];
	__asm__ volatile("" ::"r"(room) : "memory");
	return step(n);
}

static void *stack;
static const char *stack_kind;
static char global_stack[STACK_SIZE];
static char *arena; /* a thread's stack in its upper half */

static void *new_stack(const char *kind)
{
	int flags = !strcmp(kind, "shared") ? MAP_SHARED : !strcmp(kind, "mmap") ? MAP_PRIVATE : 0;
	if (!strcmp(kind, "malloc"))
		return malloc(STACK_SIZE);
	if (!strcmp(kind, "global"))
		return global_stack;
	if (!strcmp(kind, "arena"))
		return arena;
	if (!flags)
		return NULL;
	void *p = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void enter(const char *kind)
{
	stack_kind = !strcmp(kind, "malloc")   ? "malloc"
		     : !strcmp(kind, "mmap")   ? "mmap"
		     : !strcmp(kind, "shared") ? "shared"
		     : !strcmp(kind, "arena")  ? "arena"
					       : "global";
	stack = new_stack(stack_kind);
	if (!stack || inside) {
		victim_say("error: cannot enter");
		return;
	}
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = STACK_SIZE;
	coroutine.uc_link = &caller;
	makecontext(&coroutine, body, 0);
	inside = true;
	swapcontext(&caller, &coroutine);
	victim_say("suspended %p", stack);
}

/* clear: as a program would that reuses it; without, what was on it stays. */
static void finish(bool clear)
{
	if (!inside) {
		victim_say("error: not inside");
		return;
	}
	swapcontext(&caller, &coroutine);
	inside = false;
	if (clear) {
		explicit_bzero(stack, STACK_SIZE);
		explicit_bzero(&coroutine, sizeof(coroutine));
		explicit_bzero(&caller, sizeof(caller));
		if (!strcmp(stack_kind, "malloc"))
			free(stack);
		else if (!strcmp(stack_kind, "mmap") || !strcmp(stack_kind, "shared"))
			munmap(stack, STACK_SIZE);
	}
	victim_say("%d", result);
}

static int gate[2];
static pthread_t thread;
static atomic_int arrived;

static void *worker(void *unused)
{
	char c;
	(void)unused;
	call_deeply(1);
	atomic_store(&arrived, 1);
	return read(gate[0], &c, 1) == 1 ? NULL : (void *)1;
}

static void *map(int prot, int flags, size_t size)
{
	void *p = mmap(NULL, size, prot, flags | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		victim_say("error: mmap");
	return p;
}

static volatile uintptr_t global_word;
static volatile uintptr_t *mapped_word;
static uintptr_t *heap_word;
static char *vast;

/* Behind the entry and before the end. */
static uintptr_t inside_step(void)
{
	return (uintptr_t)step + 9;
}

static void put(int prot, int flags)
{
	uintptr_t *p = map(prot, flags, PAGE);
	if (p == MAP_FAILED)
		return;
	mapped_word = p;
	*mapped_word = inside_step();
	victim_say("at %p", (void *)p);
}

static void map_beyond(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	void *p = fd >= 0 && !ftruncate(fd, 100)
			  ? mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			  : MAP_FAILED;
	if (fd >= 0)
		close(fd);
	victim_say(p == MAP_FAILED ? "error: mmap" : "mapped");
}

/* That nobody else can read, the kernel's hand for others included. */
static void map_secret(void)
{
	int fd = (int)syscall(447 /* memfd_secret */, 0);
	void *p = fd >= 0 && !ftruncate(fd, PAGE)
			  ? mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			  : MAP_FAILED;
	if (fd >= 0)
		close(fd);
	victim_say(p == MAP_FAILED ? "none" : "mapped");
}

/* Pages that a handler is to serve, which does not come. */
static void register_fault(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API};
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) {
		victim_say("none");
		return;
	}
	void *p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, 16 * PAGE);
	struct uffdio_register area = {.range = {(uintptr_t)p, 16 * PAGE},
				       .mode = UFFDIO_REGISTER_MODE_MISSING};
	victim_say(ioctl(fd, UFFDIO_REGISTER, &area) ? "none" : "registered %p", p);
}

static void say_rss(void)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	char *line = strstr(text, "VmRSS:");
	victim_say("%ld", line ? strtol(line + 6, NULL, 10) : -1);
}

/* in_arena: on a stack in a mapping that has room for another one below it, and no guard between them. */
static void start_worker(bool in_arena)
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	if (in_arena) {
		arena = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, ARENA_SIZE);
		if (arena == MAP_FAILED ||
		    pthread_attr_setstack(&attributes, arena + ARENA_SIZE / 2, ARENA_SIZE / 2))
			return;
	}
	atomic_store(&arrived, 0);
	if (pthread_create(&thread, &attributes, worker, NULL)) {
		victim_say("error: no thread");
		return;
	}
	while (!atomic_load(&arrived))
		usleep(100);
	victim_say("asleep");
}

static void touch(size_t megabytes)
{
	void *p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, megabytes << 20);
	if (p == MAP_FAILED)
		return;
	memset(p, 1, megabytes << 20);
	victim_say("touched");
}

int main(void)
{
	char line[VICTIM_LINE], word[64], argument[256];
	if (pipe(gate))
		return 1;
	victim_ready();
	while (victim_next(line)) {
		word[0] = argument[0] = '\0';
		sscanf(line, "%63s %255s", word, argument);
		if (!strcmp(word, "enter")) {
			enter(argument);
		} else if (!strcmp(word, "finish")) {
			finish(true);
		} else if (!strcmp(word, "abandon")) {
			finish(false);
		} else if (!strcmp(word, "call")) {
			victim_say("%d", call_deeply(atoi(argument)));
		} else if (!strcmp(word, "worker")) {
			start_worker(!strcmp(argument, "arena"));
		} else if (!strcmp(word, "leave")) {
			if (write(gate[1], "x", 1) != 1)
				return 1;
			pthread_join(thread, NULL);
			victim_say("left");
		} else if (!strcmp(word, "stale")) {
			global_word = inside_step();
			victim_say("at %p", (void *)&global_word);
		} else if (!strcmp(word, "clean")) {
			global_word = 0;
			if (mapped_word)
				*mapped_word = 0;
			victim_say("clean");
		} else if (!strcmp(word, "entry")) {
			heap_word = malloc(64);
			*heap_word = (uintptr_t)step;
			victim_say("at %p", (void *)heap_word);
		} else if (!strcmp(word, "writeonly")) {
			put(PROT_WRITE, MAP_PRIVATE);
		} else if (!strcmp(word, "shared")) {
			put(PROT_READ | PROT_WRITE, MAP_SHARED);
		} else if (!strcmp(word, "huge")) {
			vast = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, VAST_SIZE);
			if (vast != MAP_FAILED)
				victim_say("mapped");
		} else if (!strcmp(word, "far")) {
			mapped_word = (uintptr_t *)(vast + VAST_SIZE - PAGE);
			*mapped_word = inside_step();
			victim_say("at %p", (void *)(uintptr_t)mapped_word);
		} else if (!strcmp(word, "beyond")) {
			map_beyond(argument);
		} else if (!strcmp(word, "secret")) {
			map_secret();
		} else if (!strcmp(word, "fault")) {
			register_fault();
		} else if (!strcmp(word, "touch")) {
			touch((size_t)atoi(argument));
		} else if (!strcmp(word, "rss")) {
			say_rss();
		} else {
			victim_say("error: no command %s", word);
		}
	}
	return 0;
}
