// SPDX-License-Identifier: MIT
/*
 * Looking at a thread without waking it. /proc/PID/task/TID/syscall tells where a sleeper's stack pointer is;
 * the third number of schedstat counts how often he was put on a CPU: unchanged from before the look to after
 * it, what was read belongs together; unchanged later, it still holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/gate/internal.h"
#include "process/proc_stat.h"

/* ---- the list ---- */

static void table_put(struct gate *gate, pid_t tid, uint32_t index)
{
	size_t at = (size_t)tid * 2654435761u % gate->table_size;
	while (gate->table[at].tid && gate->table[at].tid != tid)
		at = (at + 1) % gate->table_size;
	gate->table[at].tid = tid;
	gate->table[at].index = index;
}

static struct usp_error *table_build(struct gate *gate)
{
	free(gate->table);
	gate->table_size = 4 * gate->capacity + 1;
	gate->table = calloc(gate->table_size, sizeof(*gate->table));
	if (!gate->table)
		return &usp_error_no_memory;
	for (size_t i = 0; i < gate->n; i++)
		table_put(gate, gate->threads->v[i].tid, (uint32_t)i);
	return NULL;
}

ssize_t gate_index(struct gate *gate, pid_t tid)
{
	if (!gate->table_size)
		return -1;
	size_t at = (size_t)tid * 2654435761u % gate->table_size;
	for (; gate->table[at].tid; at = (at + 1) % gate->table_size)
		if (gate->table[at].tid == tid)
			return gate->table[at].index;
	return -1;
}

static int open_task_file(const struct gate *gate, pid_t tid, const char *name)
{
	char path[48];
	snprintf(path, sizeof(path), "%d/%s", tid, name);
	return openat(gate->target->taskfd, path, O_RDONLY | O_CLOEXEC);
}

/* Where his thread control block lies: glibc has registered the list of robust mutexes in it. */
static uint64_t find_home(pid_t tid)
{
	void *head = NULL;
	size_t length;
	return syscall(SYS_get_robust_list, tid, &head, &length) == 0 ? (uint64_t)(uintptr_t)head : 0;
}

struct usp_error *gate_grow(struct gate *gate)
{
	size_t n = gate->threads->n;
	if (n > gate->capacity) {
		size_t capacity = 2 * n + 16;
		struct gate_thread *v = reallocarray(gate->v, capacity, sizeof(*v));
		if (!v)
			return &usp_error_no_memory;
		gate->v = v;
		gate->capacity = capacity;
		struct usp_error *error = table_build(gate);
		if (error)
			return error;
	}
	while (gate->n < n) {
		gate->v[gate->n].schedstat_fd = gate->v[gate->n].syscall_fd = -1;
		gate_renew(gate, gate->n);
		table_put(gate, gate->threads->v[gate->n].tid, (uint32_t)gate->n);
		gate->n++;
	}
	return NULL;
}

static void close_files(struct gate_thread *thread)
{
	if (thread->schedstat_fd >= 0)
		close(thread->schedstat_fd);
	if (thread->syscall_fd >= 0)
		close(thread->syscall_fd);
}

void gate_renew(struct gate *gate, size_t i)
{
	pid_t tid = gate->threads->v[i].tid;
	struct gate_thread *thread = &gate->v[i];
	close_files(thread);
	*thread = (struct gate_thread){.schedstat_fd = -1, .syscall_fd = -1, .home = find_home(tid)};
	gate_mark_met(gate, i);
	if (gate->files_limited)
		return;
	thread->schedstat_fd = open_task_file(gate, tid, "schedstat");
	thread->syscall_fd = open_task_file(gate, tid, "syscall");
	gate->files_limited = thread->syscall_fd < 0 && (errno == EMFILE || errno == ENFILE);
}

void gate_threads_deinit(struct gate *gate)
{
	for (size_t i = 0; i < gate->n; i++)
		close_files(&gate->v[i]);
	free(gate->v);
	free(gate->table);
}

/* ---- what /proc says ---- */

static bool read_file(const struct gate *gate, pid_t tid, int fd, const char *name, char *buf, size_t size)
{
	int own = fd >= 0 ? -1 : open_task_file(gate, tid, name);
	ssize_t n = pread(fd >= 0 ? fd : own, buf, size - 1, 0);
	if (own >= 0)
		close(own);
	if (n <= 0)
		return false;
	buf[n] = 0;
	return true;
}

/* A kernel without these counters: false, and everybody is asked for his registers. */
static bool read_runs(const struct gate *gate, size_t i, uint64_t *runs)
{
	char text[96];
	unsigned long long value;
	if (!read_file(gate, gate->threads->v[i].tid, gate->v[i].schedstat_fd, "schedstat", text,
		       sizeof(text)) ||
	    sscanf(text, "%*u %*u %llu", &value) != 1 || !value)
		return false;
	*runs = value;
	return true;
}

/* false: he does not sleep. */
static bool read_syscall(const struct gate *gate, size_t i, struct thread *thread, long *number)
{
	char text[256];
	unsigned long long a[6] = {0}, sp, pc;
	if (!read_file(gate, gate->threads->v[i].tid, gate->v[i].syscall_fd, "syscall", text, sizeof(text)))
		return false;
	*number = -1;
	if (sscanf(text, "-1 %llx %llx", &sp, &pc) != 2 &&
	    sscanf(text, "%ld %llx %llx %llx %llx %llx %llx %llx %llx", number, &a[0], &a[1], &a[2], &a[3],
		   &a[4], &a[5], &sp, &pc) != 9)
		return false;
	*thread = (struct thread){.tid = gate->threads->v[i].tid,
				  .state = THREAD_RUNNING,
				  .has_registers = true,
				  .asleep = true,
				  .registers = {.rip = pc,
						.rsp = sp,
						.fs_base = gate->v[i].home,
						.rdi = a[0],
						.rsi = a[1],
						.rdx = a[2],
						.r10 = a[3],
						.r8 = a[4],
						.r9 = a[5]}};
	memcpy(thread->name, gate->threads->v[i].name, sizeof(thread->name));
	return true;
}

/* Threads and vfork's children share the memory. */
static bool copies_memory(const struct gate *gate, long number, const struct user_regs_struct *registers)
{
	uint64_t flags = registers->rdi;
	if (number == SYS_clone3 && target_read(gate->target, registers->rdi, &flags, sizeof(flags)) < 0)
		return true;
	return number == SYS_fork || ((number == SYS_clone || number == SYS_clone3) && !(flags & CLONE_VM));
}

bool gate_sleeps(struct gate *gate, size_t i)
{
	struct thread thread;
	long number;
	return read_syscall(gate, i, &thread, &number) && number >= 0 &&
	       !copies_memory(gate, number, &thread.registers);
}

/* His child runs in the same memory, and is nobody's tracee. (A newborn that has not run yet shows clone,
 * too.) */
static bool waits_for_vfork(const struct gate *gate, pid_t tid, long number)
{
	struct proc_stat stat;
	char path[24];
	if (number != SYS_vfork && number != SYS_clone && number != SYS_clone3)
		return false;
	snprintf(path, sizeof(path), "%d/stat", tid);
	return proc_stat_read(gate->target->taskfd, path, &stat) < 0 || stat.state == 'D';
}

static struct usp_error *judge(struct gate *gate, size_t i, const struct thread *asleep, long number,
			       enum gate_verdict *ret)
{
	enum stack_verdict verdict;
	struct stack_trace *trace = NULL;
	if (waits_for_vfork(gate, asleep->tid, number)) {
		*ret = GATE_INSIDE;
		gate_note_blocker(gate, asleep, true,
				  "waits for the child of a vfork, which runs in its memory", NULL);
		return NULL;
	}
	if (asleep->tid != gate->target->pid && !gate->v[i].home) {
		*ret = GATE_UNSURE; /* where his own stack is, his registers tell */
		return NULL;
	}
	struct usp_error *error = stack_check(gate->checker, asleep, &gate->inside, &verdict, &trace);
	if (error)
		return error;
	*ret = verdict == STACK_FREE ? GATE_OUTSIDE : verdict == STACK_BUSY ? GATE_INSIDE : GATE_UNSURE;
	if (verdict == STACK_BUSY)
		gate_note_blocker(gate, asleep, false, NULL, trace);
	else
		stack_trace_free(trace);
	return NULL;
}

struct usp_error *gate_look(struct gate *gate, size_t i, enum gate_verdict *ret)
{
	struct gate_thread *thread = &gate->v[i];
	struct thread asleep;
	uint64_t before, after;
	long number;
	*ret = GATE_RUNS;
	if (!read_runs(gate, i, &before))
		return NULL;
	if (thread->looked && thread->runs == before) {
		*ret = thread->verdict;
		return NULL;
	}
	thread->looked = false;
	uint64_t began_ns = timeline_now(gate->target->timeline);
	if (!read_syscall(gate, i, &asleep, &number))
		return NULL;
	enum gate_verdict verdict;
	struct usp_error *error = judge(gate, i, &asleep, number, &verdict);
	if (error)
		return error;
	bool moved = !read_runs(gate, i, &after) || after != before;
	gate_mark_look(gate, i, began_ns, verdict, moved);
	if (moved)
		return NULL; /* he ran meanwhile: what was read is of no moment */
	thread->looked = true;
	thread->runs = before;
	*ret = thread->verdict = verdict;
	return NULL;
}

struct usp_error *gate_examine(struct gate *gate, const struct thread *thread, uint64_t rip, bool *outside)
{
	struct thread as = *thread;
	enum stack_verdict verdict;
	struct stack_trace *trace = NULL;
	as.registers.rip = rip;
	as.asleep = false;
	as.has_registers = true;
	struct usp_error *error = stack_check(gate->checker, &as, &gate->inside, &verdict, &trace);
	*outside = !error && verdict == STACK_FREE;
	if (!error && !*outside)
		gate_note_blocker(gate, thread, verdict == STACK_UNKNOWN, NULL, trace);
	else
		stack_trace_free(trace);
	return error;
}

/* ---- who is in the way ---- */

void gate_note_blocker(struct gate *gate, const struct thread *thread, bool unknown, const char *why,
		       struct stack_trace *trace)
{
	struct gate_blocker *at = NULL;
	for (size_t i = 0; i < gate->n_blockers && !at; i++)
		if (gate->blockers[i].tid == thread->tid)
			at = &gate->blockers[i];
	if (!at && gate->n_blockers == gate->blockers_capacity) {
		size_t capacity = 2 * gate->blockers_capacity + 8;
		struct gate_blocker *v = reallocarray(gate->blockers, capacity, sizeof(*v));
		if (!v) { /* it is for a message only */
			stack_trace_free(trace);
			return;
		}
		gate->blockers = v;
		gate->blockers_capacity = capacity;
	}
	if (!at) {
		at = &gate->blockers[gate->n_blockers++];
		*at = (struct gate_blocker){.tid = thread->tid};
	}
	memcpy(at->name, thread->name, sizeof(at->name));
	at->unknown = unknown;
	at->why = why;
	stack_trace_free(at->trace);
	at->trace = trace;
}
