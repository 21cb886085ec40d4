// SPDX-License-Identifier: MIT
/*
 * The gate from its beginning to its end. What it changes in the target besides the sites, and takes back:
 * the handler of the trap's signal (net.h), the masks of threads that block that signal, a helper thread. The
 * registry notes that before it is done, so that whoever comes after a dead controller can take it back, too.
 */
#define _GNU_SOURCE
#include "process/gate/gate.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process/gate/internal.h"
#include "process/membarrier.h"
#include "process/proc_stat.h"

#define HELPER_STACK   33792 /* bytes from the start of usplice's stack area: the top of the helper's stack */
#define HELPER_STOP_NS 1000000000ull /* to get hold of it */
#define HELPER_END_NS  1000000000ull /* for it to end */
#define HELPER_NAP_NS  50000	     /* and looked for so often */
#define CLOSE_NS       10000000000ull
#define NAP_NS	       30000
#define SERVE_NS       1000000 /* whoever has stopped for a signal waits so long at most */
#define HANDLER_NAP_NS 1000000 /* for a thread to leave its signal handler */
#define ROOM_FILES     64      /* descriptors that are left for everything else */

static void destroy(struct gate *gate, bool stop_all)
{
	if (gate->threads && stop_all)
		threads_detach(gate->threads);
	else
		threads_forget(gate->threads);
	gate_threads_deinit(gate);
	for (size_t i = 0; i < gate->n_blockers; i++)
		stack_trace_free(gate->blockers[i].trace);
	free(gate->blockers);
	free(gate->children);
	free(gate->signals);
	free(gate->sites);
	free(gate->entries);
	free(gate->names);
	range_set_deinit(&gate->inside);
	if (gate->limit_raised)
		setrlimit(RLIMIT_NOFILE, &gate->limit);
	free(gate);
}

/* Two descriptors a thread, as far as this process may have them. */
static void want_files(struct gate *gate)
{
	struct rlimit limit;
	rlim_t wanted = 2 * gate->threads->n + ROOM_FILES;
	if (getrlimit(RLIMIT_NOFILE, &gate->limit) < 0 || gate->limit.rlim_cur >= wanted)
		return;
	limit = gate->limit;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	gate->limit_raised = setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* With a thread borrowed once: map, arm, spawn. */
static struct usp_error *arm(struct gate *gate, pid_t *helper)
{
	struct session *session = gate->session;
	struct registry *registry = session->registry;
	struct remote *remote = NULL;
	struct net_area area = registry->header.net;
	struct usp_error *error =
		remote_open(gate->target, &session->maps, NULL, &registry->header.area, NULL, NULL, &remote);
	if (error)
		return error;
	session_log(session, USP_LOG_INFO, "gate", "borrowed thread %d", remote_tid(remote));
	error = net_map(gate->target, remote, registry->header.area.stack, &area, gate->n_sites);
	if (!error)
		error = registry_set_net(gate->target, registry, &area, true);
	if (!error) {
		gate->armed = true;
		error = net_arm(gate->target, remote, &area, gate->signal, gate->trap, gate->adjust,
				registry->address + offsetof(struct registry_header, current), gate->old_word,
				gate->sites, gate->n_sites);
	}
	if (!error)
		error = net_spawn(gate->target, remote, &area, registry->header.area.stack + HELPER_STACK,
				  helper);
	struct usp_error *close_error = remote_close(remote);
	if (!error)
		return close_error;
	usp_error_destroy(close_error);
	return error;
}

static struct usp_error *take_helper(struct gate *gate, pid_t tid)
{
	struct session *session = gate->session;
	/* It makes the syncs, for which threads wait at traps: it must not wait for a CPU behind the
	 * program's own. Where that is not permitted, it does. */
	struct sched_param first = {.sched_priority = 1};
	(void)sched_setscheduler(tid, SCHED_RR | SCHED_RESET_ON_FORK, &first);
	struct usp_error *error = threads_seize_one(gate->target, tid, &gate->helper_threads);
	if (!error)
		error = threads_stop(gate->helper_threads, now_ns() + HELPER_STOP_NS);
	if (!error)
		error = remote_open(gate->target, &session->maps, gate->helper_threads,
				    &session->registry->header.area, NULL, NULL, &gate->helper);
	gate->helper_ns = timeline_now(gate->target->timeline);
	timeline_thread(gate->target->timeline, tid, "usplice helper");
	return usp_error_prefix(error, "the helper thread %d", tid);
}

static struct usp_error *take_threads(struct gate *gate, pid_t helper)
{
	struct usp_error *error = threads_seize_but(gate->target, helper, &gate->threads);
	if (error)
		return error;
	threads_calm(gate->threads);
	want_files(gate);
	return gate_grow(gate);
}

/* Who is not done is asked to stop, and whatever stops is served, until nobody is left. otherwise: what follows from
 * it if somebody does not stop. */
static struct usp_error *ask_all(struct gate *gate, bool (*done)(struct gate *gate, size_t i),
				 const char *otherwise)
{
	uint64_t deadline_ns = now_ns() + CLOSE_NS;
	for (;;) {
		const struct thread *left = NULL;
		bool in_handler = false;
		size_t served;
		for (size_t i = 0; i < gate->n; i++) {
			if (gate->threads->v[i].state == THREAD_EXITED || done(gate, i))
				continue;
			left = &gate->threads->v[i];
			in_handler |= gate->v[i].mask_tries != 0;
			gate_interrupt(gate, i);
		}
		pid_t tid = left ? left->tid : 0;
		struct usp_error *error = gate_serve(gate, &served);
		if (error || !left)
			return error;
		if (now_ns() > deadline_ns)
			return usp_errorf(USP_NOT_QUIESCENT, "thread %d of process %d does not stop, %s", tid,
					  gate->target->pid, otherwise);
		if (!served || in_handler)
			thread_nap(in_handler ? HANDLER_NAP_NS : NAP_NS);
	}
}

/*
 * A fork that began before its caller was seized is not told; should it copy the text while traps stand in it, and
 * have copied the handlers before the trap's was there, its child would die of the first trap. So everybody is seen
 * once outside of such a fork before there is a trap: who sleeps in any other call is, who runs is stopped once. And
 * who blocks the trap's signal is stopped, and does not from then on.
 */
static bool ready_for_traps(struct gate *gate, size_t i)
{
	gate->v[i].forkless |= gate_sleeps(gate, i);
	return gate->v[i].forkless && !gate->v[i].mask_wanted;
}

static struct usp_error *first_look(struct gate *gate)
{
	uint64_t serve_at_ns = 0;
	struct usp_error *error = NULL;
	for (size_t i = 0; i < gate->n && !error; i++) {
		enum gate_verdict verdict;
		size_t served;
		if (gate->threads->v[i].state != THREAD_EXITED) {
			error = gate_look(gate, i, &verdict);
			if (!error && verdict == GATE_RUNS)
				gate_mark_runs(gate, i);
		}
		/* Not for each: the kernel asks every tracee whether it has something to tell. */
		if (!error && now_ns() >= serve_at_ns) {
			error = gate_serve(gate, &served);
			serve_at_ns = now_ns() + SERVE_NS;
		}
	}
	return error;
}

static struct usp_error *prepare(struct gate *gate, struct action_intent *intent)
{
	pid_t helper = 0;
	/* The net is made for one trap: so it is chosen before anybody is seized. */
	uint64_t step_ns = timeline_now(gate->target->timeline);
	struct usp_error *error = gate_choose_trap(gate, intent);
	gate_mark_step(gate, &step_ns, "choose trap");
	if (!error && gate->n_sites) {
		error = arm(gate, &helper);
		gate_mark_step(gate, &step_ns, "arm net");
	}
	if (!error && gate->n_sites) {
		error = take_helper(gate, helper);
		gate_mark_step(gate, &step_ns, "take helper");
	}
	if (!error) {
		error = take_threads(gate, helper);
		gate_mark_step(gate, &step_ns, "seize");
	}
	if (!error && gate->n_sites) {
		error = gate_note_masks(gate);
		if (!error)
			error = ask_all(
				gate, ready_for_traps,
				"and may be forking; nothing was changed. Try again at a quieter time");
		gate_mark_step(gate, &step_ns, "ask");
	}
	if (!error) {
		error = first_look(gate);
		gate_mark_step(gate, &step_ns, "first look");
	}
	return error;
}

static struct usp_error *add_ranges(struct gate *gate, const struct host_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (range_set_add(&gate->inside, ranges[i].start, ranges[i].end) < 0)
			return &usp_error_no_memory;
	return NULL;
}

struct usp_error *gate_create(struct session *session, struct stack_checker *checker,
			      struct action_intent *intent, const struct host_range *ranges, size_t n,
			      struct gate **ret, const char **why)
{
	*ret = NULL;
	*why = NULL;
	struct proc_stat stat;
	if (proc_stat_read(session->target->procfd, "stat", &stat) < 0 || stat.state == 'T') {
		*why = "the process is stopped, and a helper thread in it would not run";
		return NULL;
	}
	if (stat.parent == getpid()) {
		*why = "it is a child of this process, whose exit somebody else here waits for";
		return NULL;
	}
	if (session->target->seccomp) {
		*why = "a thread has a seccomp filter, which may kill a helper thread for its system calls";
		return NULL;
	}
	struct gate *gate = calloc(1, sizeof(*gate));
	if (!gate)
		return &usp_error_no_memory;
	gate->session = session;
	gate->target = session->target;
	gate->checker = checker;
	gate->old_word = session->registry->header.current;
	gate->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct usp_error *error = add_ranges(gate, ranges, n);
	if (!error)
		error = gate_make_sites(gate, intent, why);
	range_set_seal(&gate->inside);
	if (!error && !*why)
		error = prepare(gate, intent);
	if (error && error->code == USP_UNSUPPORTED && !gate->threads) {
		session_log(session, USP_LOG_INFO, "gate", "%s", error->message);
		usp_error_destroy(error);
		error = NULL;
		*why = "the target does not allow for it";
	}
	if (!error && !*why) {
		*ret = gate;
		return NULL;
	}
	struct usp_error *close_error = gate_close(gate, true);
	if (!error)
		return close_error;
	usp_error_destroy(close_error);
	return error;
}

struct usp_error *gate_sync(struct gate *gate)
{
	return membarrier_sync(gate->helper);
}

struct usp_error *gate_wait(struct gate *gate, uint64_t ns)
{
	uint64_t end_ns = now_ns() + ns;
	struct usp_error *error = NULL;
	do {
		size_t served;
		error = gate_serve(gate, &served);
		if (!error && !served)
			thread_nap(ns < 200000 ? ns / 4 + 1 : 50000);
	} while (!error && now_ns() < end_ns);
	return error;
}

/* Every trap that was taken, and every fork that may have copied one, has been served: who sleeps has none on his way,
 * who runs is stopped once. */
static bool is_clean(struct gate *gate, size_t i)
{
	struct gate_thread *at = &gate->v[i];
	at->clean |= !at->mask_changed && !gate->threads->v[i].interrupted && gate_sleeps(gate, i);
	return at->clean;
}

static struct usp_error *finish_traps(struct gate *gate)
{
	gate->closing = true;
	for (size_t i = 0; i < gate->n; i++) {
		gate->v[i].clean = false;
		gate->v[i].late_at = 0;
	}
	return ask_all(gate, is_clean,
		       "and may have met a trap: the handler for it stays; `usplice recover` takes it away");
}

static struct usp_error *disarm(struct gate *gate)
{
	struct registry *registry = gate->session->registry;
	struct net_area *area = &registry->header.net;
	struct remote *remote = gate->helper;
	struct usp_error *error = net_retire(gate->target, area);
	if (!error)
		error = net_done(gate->target, area);
	if (!error && !remote)
		error = remote_open(gate->target, &gate->session->maps, NULL, &registry->header.area, NULL,
				    NULL, &remote);
	if (!error)
		error = net_disarm(gate->target, remote, area);
	if (remote != gate->helper) {
		struct usp_error *close_error = remote_close(remote);
		if (!error)
			error = close_error;
		else
			usp_error_destroy(close_error);
	}
	return error ? error : registry_set_net(gate->target, registry, area, false);
}

/* Straight to its end, instead of the rest of its nap. */
static void dismiss(struct gate *gate)
{
	struct thread *thread = &gate->helper_threads->v[0];
	struct user_regs_struct registers = thread->registers;
	if (thread->state == THREAD_STOPPED && net_dismiss(&gate->session->registry->header.net, &registers))
		(void)ptrace(PTRACE_SETREGS, thread->tid, NULL, &registers); /* else it naps, and ends */
}

/* It ends by itself, now that it is let go; the action is not over before. Signals of the others are served
 * meanwhile. */
static struct usp_error *end_helper(struct gate *gate)
{
	uint64_t deadline_ns = now_ns() + HELPER_END_NS;
	struct usp_error *error = NULL;
	char path[24];
	pid_t tid = gate->helper ? remote_tid(gate->helper) : 0;
	struct usp_timeline *timeline = gate->helper ? gate->target->timeline : NULL;
	usp_error_destroy(remote_close(gate->helper));
	if (gate->helper_threads && !gate->unfinished)
		dismiss(gate);
	threads_detach(gate->helper_threads);
	gate->helper = NULL;
	gate->helper_threads = NULL;
	if (!tid)
		return NULL;
	snprintf(path, sizeof(path), "%d", tid);
	while (!error && faccessat(gate->target->taskfd, path, F_OK, 0) == 0 && now_ns() < deadline_ns)
		error = gate->threads ? gate_wait(gate, HELPER_NAP_NS) : NULL;
	timeline_span(timeline, tid, gate->helper_ns, "helper", NULL, 0);
	return error;
}

struct usp_error *gate_close(struct gate *gate, bool stop_all)
{
	struct usp_error *error = NULL;
	uint64_t step_ns = timeline_now(gate->target->timeline);
	/* Where traps have to stay, the net stays; the helper finishes the text once it is let go. */
	if (gate->threads && gate->n_sites && !gate->unfinished) {
		error = finish_traps(gate);
		gate_mark_step(gate, &step_ns, "finish traps");
	}
	if (!error && gate->helper)
		error = gate_give_signals(gate);
	if (gate->armed && !gate->unfinished && !error) {
		error = disarm(gate);
		gate_mark_step(gate, &step_ns, "disarm");
	}
	struct usp_error *end_error = end_helper(gate);
	gate_mark_step(gate, &step_ns, "helper's end");
	if (!error)
		error = end_error;
	else
		usp_error_destroy(end_error);
	destroy(gate, stop_all);
	return error;
}

size_t gate_threads(const struct gate *gate)
{
	return gate->threads->n;
}

const struct gate_blocker *gate_blockers(const struct gate *gate, size_t *n)
{
	*n = gate->n_blockers;
	return gate->blockers;
}
