/* SPDX-License-Identifier: MIT */
#include "process/remote/remote.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>

#include "process/remote/borrow.h"
#include "process/remote/hole.h"
#include "process/timeline.h"

#define STOP_NS	       100000000ull  /* for one candidate to stop */
#define ROUNDS	       3	     /* over all candidates, when everybody stopped but none could be had */
#define ROUND_PAUSE_NS 5000000	     /* between two of them */
#define CHOOSE_NS      5000000000ull /* for all of them */
#define HOLES_MAX      64	     /* modules that are looked at */

/* Finds a slot for the thread: in the area, or in a hole while there is no area. */
static struct usp_error *find_slot(struct remote *remote, const struct maps *maps)
{
	struct usp_error *error;
	if (remote->area.code) {
		error = remote_slot_take(remote, remote->area.code, remote->area.code + REMOTE_CODE_SIZE,
					 &remote->address);
		if (error || remote->address)
			return error;
	}
	struct remote_hole hole;
	for (size_t i = 0; i < HOLES_MAX && remote_hole_find(remote->target, maps, i, &hole); i++) {
		error = remote_slot_take(remote, hole.start, hole.end, &remote->address);
		if (error || remote->address)
			return error;
	}
	return usp_errorf(USP_UNSUPPORTED,
			  "no place for a stub in %s (%d): neither the vdso nor a module has %u unused bytes "
			  "at the end of "
			  "its code",
			  remote->target->name, remote->target->pid, REMOTE_SLOT_SIZE);
}

/*
 * Takes the stopped thread. The order matters (remote.h): were the mask blocked first, a controller that dies
 * then would leave the thread deaf.
 */
static struct usp_error *borrow(struct remote *remote, const struct maps *maps)
{
	if (ptrace(PTRACE_GETSIGMASK, remote->tid, sizeof(remote->mask), &remote->mask) < 0)
		return remote_ptrace_error(remote, errno, "reading the signal mask of");
	remote_slot_fill(&remote->slot, remote->tid, &remote->registers, remote->mask);
	struct usp_error *error = find_slot(remote, maps);
	if (!error)
		error = remote_park(remote);
	if (error)
		return error;
	remote->borrowed = true;
	return remote_set_mask(remote, ~0ull);
}

/* Once the area is there: on into it. */
static struct usp_error *move_to_area(struct remote *remote)
{
	uint64_t from = remote->address, to;
	if (from - remote->area.code < REMOTE_CODE_SIZE)
		return NULL; /* there already: the code part was adopted */
	memset(remote->slot.string, 0, sizeof(remote->slot.string));
	struct usp_error *error =
		remote_slot_take(remote, remote->area.code, remote->area.code + REMOTE_CODE_SIZE, &to);
	if (error || !to)
		return error; /* full of what killed controllers left: the hole serves as well */
	remote->address = to;
	error = remote_park(remote);
	return error ? error : remote_slot_give(remote, from);
}

/* What killed controllers left in the holes, before there was an area. */
static struct usp_error *sweep_holes(struct remote *remote, const struct maps *maps)
{
	struct usp_error *error = NULL;
	struct remote_hole hole;
	for (size_t i = 0; !error && i < HOLES_MAX && remote_hole_find(remote->target, maps, i, &hole); i++)
		error = remote_slot_sweep(remote, hole.start, hole.end);
	return error;
}

bool remote_left_stub(const struct target *target, const struct maps *maps)
{
	struct remote_hole hole;
	for (size_t i = 0; i < HOLES_MAX && remote_hole_find(target, maps, i, &hole); i++)
		for (uint64_t at = hole.start; at < hole.end; at++) {
			uint8_t bytes[256];
			size_t n = hole.end - at < sizeof(bytes) ? hole.end - at : sizeof(bytes);
			if (target_read(target, at, bytes, n) < 0)
				break;
			for (size_t k = 0; k < n; k++)
				if (bytes[k])
					return true;
			at += n - 1;
		}
	return false;
}

/* To PTRACE_EVENT_STOP without running an instruction of the program's or the stub's. */
static struct usp_error *to_event_stop(struct remote *remote)
{
	uint64_t deadline = remote_now_ns() + REMOTE_PATIENCE_NS;
	int signal = 0;
	if (!remote->lost && !remote->calling) {
		struct usp_error *error = remote_park(remote);
		if (error)
			return error;
	}
	while (!remote->event_stop) {
		enum remote_stop stop;
		struct usp_error *error = NULL;
		/* Before each resumption: every other stop uses the interrupt up. */
		if (ptrace(PTRACE_INTERRUPT, remote->tid, 0, 0) < 0)
			return remote_ptrace_error(remote, errno, "interrupting");
		if (!remote->lost)
			error = remote_resume(remote, PTRACE_CONT, signal);
		if (!error)
			error = remote_wait(remote, deadline, &stop, &signal);
		if (error)
			return error;
		if (stop == REMOTE_STOP_TIMEOUT) {
			remote->lost = true;
			return usp_errorf(USP_FAILED,
					  "thread %d of %s (%d) does not stop; it goes back by itself",
					  remote->tid, remote->target->name, remote->target->pid);
		}
		remote->lost = false;
		if (stop == REMOTE_STOP_SIGNAL && signal != SIGSTOP) {
			remote->kept |= 1ull << (signal - 1);
			signal = 0;
		}
	}
	return NULL;
}

static struct thread *listed(const struct remote *remote)
{
	for (size_t i = 0; i < remote->threads->n; i++)
		if (remote->threads->v[i].tid == remote->tid)
			return &remote->threads->v[i];
	return NULL;
}

/*
 * Gives the thread back. In PTRACE_EVENT_STOP, because only from there the kernel looks at the restored
 * registers again and restarts the interrupted system call itself. The parking place first, then the mask,
 * then the registers: stub.h.
 */
static struct usp_error *put_back(struct remote *remote)
{
	if (remote->gone || !remote->borrowed)
		return NULL;
	struct usp_error *error = remote->event_stop && !remote->lost ? NULL : to_event_stop(remote);
	if (!error && remote->calling) /* its registers are still the function's */
		error = remote_call_undo(remote);
	if (!error)
		error = remote_park(remote);
	if (!error)
		error = remote_set_mask(remote, remote->mask);
	if (!error)
		error = remote_set_registers(remote, &remote->registers);
	if (error)
		return error;
	remote->borrowed = false;
	for (int s = 1; s <= 64; s++)
		if (remote->kept & 1ull << (s - 1))
			syscall(SYS_tgkill, remote->target->pid, remote->tid, s);
	struct thread *thread = listed(remote);
	if (thread) {
		thread->state = remote->stop_signal && remote->stop_signal != SIGTRAP ? THREAD_GROUP_STOPPED
										      : THREAD_STOPPED;
		thread->registers = remote->registers;
		thread->has_registers = true;
	}
	return NULL;
}

static struct usp_error *prefer(struct usp_error *first, struct usp_error *second)
{
	if (!first)
		return second;
	usp_error_destroy(second);
	return first;
}

/* Everything back, everything freed. */
static struct usp_error *finish(struct remote *remote)
{
	struct usp_error *error = put_back(remote);
	/* Not while the thread may still need it. */
	if (remote->gone && remote->address)
		usp_error_destroy(remote_slot_give(remote, remote->address));
	else if (!remote->borrowed && remote->address)
		error = prefer(error, remote_slot_give(remote, remote->address));
	if (remote->own_threads)
		threads_detach(remote->threads);
	free(remote->xstate);
	free(remote);
	return error;
}

/* Borrows a thread of threads that is stopped. *ret NULL and no error: not this one, *why says why not. */
static struct usp_error *try_thread(struct threads *threads, bool own, struct thread *thread,
				    const struct maps *maps, const struct remote_area *area,
				    remote_accept accept, void *context, struct remote **ret,
				    const char **why, enum usp_code *code)
{
	struct user_regs_struct registers;
	*ret = NULL;
	*code = USP_NOT_QUIESCENT;
	if ((thread->state != THREAD_STOPPED && thread->state != THREAD_GROUP_STOPPED) ||
	    !thread->has_registers) {
		*why = "it has ended";
		return NULL;
	}
	if (accept && !accept(context, thread)) {
		*why = "it is in the middle of something";
		return NULL;
	}
	if (!remote_suitable(threads, thread, &registers, why, code))
		return NULL;
	struct remote *remote = calloc(1, sizeof(*remote));
	if (!remote)
		return &usp_error_no_memory;
	remote->target = threads->target;
	remote->threads = threads;
	remote->own_threads = own;
	remote->tid = thread->tid;
	remote->registers = registers;
	remote->area = *area;
	remote->event_stop = true;
	remote->stop_signal = thread->state == THREAD_GROUP_STOPPED ? SIGSTOP : SIGTRAP;
	struct usp_error *error = borrow(remote, maps);
	if (error) {
		remote->own_threads = false; /* stays the caller's */
		usp_error_destroy(finish(remote));
		return error;
	}
	*ret = remote;
	return NULL;
}

static struct usp_error *none(const struct target *target, pid_t tid, const char *why, enum usp_code code)
{
	if (!why)
		return usp_errorf(USP_NOT_QUIESCENT, "no thread of %s (%d) stopped in time", target->name,
				  target->pid);
	return usp_errorf(code, "no thread of %s (%d) can be borrowed; thread %d: %s", target->name,
			  target->pid, tid, why);
}

static bool in_syscall(const struct thread *thread)
{
	return (int64_t)thread->registers.orig_rax >= 0;
}

/* One of threads that are all stopped. */
static struct usp_error *choose_stopped(struct threads *threads, const struct maps *maps,
					const struct remote_area *area, remote_accept accept, void *context,
					struct remote **ret)
{
	const char *why = NULL, *w;
	enum usp_code code = USP_NOT_QUIESCENT, c;
	pid_t tid = 0;
	*ret = NULL;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < threads->n; i++) {
			struct thread *thread = &threads->v[i];
			if (thread->state == THREAD_EXITED || in_syscall(thread) != (pass == 0))
				continue;
			struct usp_error *error =
				try_thread(threads, false, thread, maps, area, accept, context, ret, &w, &c);
			if (error || *ret)
				return error;
			if (code != USP_PERMISSION) { /* the reason that somebody can do something about */
				code = c;
				why = w;
				tid = thread->tid;
			}
		}
	}
	return none(threads->target, tid, why, code);
}

struct choice {		 /* how a round over the candidates went */
	const char *why; /* why the last one that was looked at could not be had */
	enum usp_code code;
	pid_t tid;
	struct usp_error *late; /* somebody did not stop in time: what was said of it */
};

/* Stops each candidate in turn until one can be had. An error is about the target. */
static struct usp_error *choose_round(const struct target *target, const struct maps *maps,
				      const struct remote_area *area, remote_accept accept, void *context,
				      uint64_t deadline, struct choice *choice, struct remote **ret)
{
	_cleanup_free_ pid_t *tids = NULL;
	size_t n;
	const char *why = NULL;
	enum usp_code code = USP_NOT_QUIESCENT;
	struct usp_error *error = remote_candidates(target, &tids, &n);
	for (size_t i = 0; !error && i < n && remote_now_ns() < deadline; i++) {
		struct threads *one = NULL;
		error = threads_seize_one(target, tids[i], &one);
		if (error && (error->code == USP_NOT_FOUND || error->code == USP_GONE) &&
		    target_alive(target)) {
			usp_error_destroy(error); /* it ended just now */
			error = NULL;
			continue;
		}
		if (error)
			return error;
		error = threads_stop(one, remote_now_ns() + STOP_NS);
		if (error &&
		    (error->code == USP_NOT_QUIESCENT || (error->code == USP_GONE && target_alive(target)))) {
			usp_error_destroy(choice->late);
			choice->late = error;
			error = NULL;
			threads_detach(one);
			continue;
		}
		if (!error && one->n)
			error = try_thread(one, true, &one->v[0], maps, area, accept, context, ret, &why,
					   &code);
		if (!error && *ret)
			return NULL;
		threads_detach(one);
		if (choice->code != USP_PERMISSION) { /* the reason that somebody can do something about */
			choice->code = code;
			choice->why = why;
			choice->tid = tids[i];
		}
	}
	return error;
}

/*
 * One of the target's, stopped for this. On a busy machine a thread may not get a CPU to stop on in time, so
 * as long as that happens everybody is asked again; where all stopped, a few rounds tell whether what they
 * were in the middle of was passing.
 */
static struct usp_error *choose_running(const struct target *target, const struct maps *maps,
					const struct remote_area *area, remote_accept accept, void *context,
					struct remote **ret)
{
	struct choice choice = {.code = USP_NOT_QUIESCENT};
	struct usp_error *error = NULL;
	uint64_t deadline = remote_now_ns() + CHOOSE_NS;
	*ret = NULL;
	for (unsigned round = 0; round < ROUNDS || (choice.late && remote_now_ns() < deadline); round++) {
		usp_error_destroy(choice.late);
		choice.late = NULL;
		if (round)
			nanosleep(&(struct timespec){.tv_nsec = ROUND_PAUSE_NS}, NULL);
		error = choose_round(target, maps, area, accept, context, deadline, &choice, ret);
		if (error || *ret || choice.code == USP_PERMISSION)
			break;
	}
	if (error || *ret || choice.why) {
		usp_error_destroy(choice.late);
		return error || *ret ? error : none(target, choice.tid, choice.why, choice.code);
	}
	return choice.late ? choice.late : none(target, 0, NULL, choice.code);
}

struct usp_error *remote_open(const struct target *target, const struct maps *maps, struct threads *threads,
			      struct remote_area *area, remote_accept accept, void *accept_context,
			      struct remote **ret)
{
	struct maps fresh = {0};
	struct usp_error *error = NULL;
	struct remote *remote = NULL;
	struct remote_area found = *area;
	*ret = NULL;
	/* The caller's maps may be older than the area. */
	if (!area->code || !area->stack || !remote_area_valid(maps, area)) {
		error = maps_read(target, &fresh);
		if (error)
			return error;
		maps = &fresh;
		if (!area->code && !area->stack)
			remote_find_area(maps, &found);
		else if (!remote_area_valid(maps, area))
			error = usp_errorf(USP_MISMATCH,
					   "%s (%d) says that usplice's area is at 0x%lx and 0x%lx, but that "
					   "is not what is "
					   "mapped there",
					   target->name, target->pid, (long)area->code, (long)area->stack);
	}
	if (!error)
		error = threads ? choose_stopped(threads, maps, &found, accept, accept_context, &remote)
				: choose_running(target, maps, &found, accept, accept_context, &remote);
	if (!error && (!area->code || !area->stack)) {
		error = remote_area_map(remote);
		if (!error)
			error = move_to_area(remote);
		if (!error)
			error = sweep_holes(remote, maps);
	}
	maps_deinit(&fresh);
	if (error) {
		if (remote)
			usp_error_destroy(finish(remote));
		return error;
	}
	*area = remote->area;
	*ret = remote;
	return NULL;
}

struct usp_error *remote_close(struct remote *remote)
{
	if (!remote)
		return NULL;
	/* One of all that stand still is told of by who stopped them. */
	struct usp_timeline *timeline = remote->own_threads ? remote->target->timeline : NULL;
	uint64_t stopped_ns = remote->threads->stop_begin_ns;
	pid_t tid = remote->tid;
	timeline_thread(timeline, tid, remote->threads->v[0].name);
	struct usp_error *error = finish(remote);
	timeline_span(timeline, tid, stopped_ns, "borrowed", NULL, 0);
	return error;
}

pid_t remote_tid(const struct remote *remote)
{
	return remote->tid;
}

uint64_t remote_thread_pointer(const struct remote *remote)
{
	return remote->registers.fs_base;
}
