// SPDX-License-Identifier: MIT
/*
 * The operations that the engine asks of the process host.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include <usplice/list.h>

#include "payload/payload.h"
#include "process/host/host.h"
#include "process/membarrier.h"
#include "process/text.h"
#include "process/timeline.h"

#define HOOK_TIME_NS UINT64_C(5000000000) /* a hook that takes longer is abandoned */

_Static_assert((int)REGISTRY_UPLOAD == (int)ACTION_UPLOAD && (int)REGISTRY_UNLOAD == (int)ACTION_UNLOAD,
	       "the registry keeps the engine's numbers");

_Static_assert((int)HOOK_LOAD == (int)PAYLOAD_HOOK_LOAD && (int)HOOK_REVERT == (int)PAYLOAD_HOOK_REVERT &&
		       (int)HOOK_KINDS == (int)PAYLOAD_HOOK_KINDS,
	       "the engine numbers hooks as the payload does");

/* Keeps the first error object for the report; the engine gets a number. */
static int keep(struct host *host, struct usp_error *error, int number)
{
	if (!error)
		return 0;
	if (host->error)
		usp_error_destroy(error);
	else
		host->error = error;
	return number;
}

/* ---- text ---- */

static int op_read(void *context, uint64_t address, void *bytes, size_t n)
{
	struct host *host = context;
	return target_read(host->session->target, address, bytes, n);
}

static int op_write(void *context, const struct host_write *v, size_t n, size_t *done)
{
	struct host *host = context;
	return text_write(host->session->target, v, n, done);
}

/* One of the stopped threads, for system calls and hooks. */
static struct usp_error *need_remote(struct host *host)
{
	if (host->remote)
		return NULL;
	return remote_open(host->session->target, &host->session->maps, host->threads,
			   &host->session->registry->header.area, NULL, NULL, &host->remote);
}

static int op_sync(void *context)
{
	struct host *host = context;
	struct usp_error *error;
	if (host->gate)
		return keep(host, gate_sync(host->gate), -CORE_EIO);
	error = need_remote(host);
	if (!error)
		error = membarrier_sync(host->remote);
	return keep(host, error, -CORE_EIO);
}

/* ---- time ---- */

static uint64_t op_now_ns(void *context)
{
	(void)context;
	return now_ns();
}

static void op_relax(void *context)
{
	(void)context;
}

static int op_pause(void *context, uint64_t ns)
{
	struct host *host = context;
	if (host->gate)
		return keep(host, gate_wait(host->gate, ns), -CORE_EIO);
	struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
	if (target_alive(host->session->target))
		return 0;
	return keep(host, usp_errorf(USP_GONE, "process %d exited meanwhile", host->session->target->pid),
		    -CORE_EIO);
}

/* ---- rendezvous ---- */

static int op_release(void *context)
{
	struct host *host = context;
	struct usp_error *error = remote_close(host->remote);
	host->remote = NULL;
	uint64_t begin_ns = host->threads->stop_begin_ns;
	threads_detach(host->threads);
	host->threads = NULL;
	host->stopped_ns = now_ns() - begin_ns;
	return keep(host, error, -CORE_EIO);
}

static int op_stop(void *context, uint64_t deadline_ns)
{
	struct host *host = context;
	stack_checker_prepare(host->checker);
	uint64_t begin_ns = now_ns();
	bool found = false;
	struct usp_error *error = host->scan.wanted ? scan_try_running(host, &found) : NULL;
	if (error || found)
		return error ? keep(host, error, -CORE_EIO) : -CORE_EAGAIN;
	error = threads_seize(host->session->target, &host->threads);
	host->seize_ns = now_ns() - begin_ns; /* a scan before it is no part of the try, either */
	if (!error)
		error = threads_stop(host->threads, deadline_ns + host->seize_ns);
	if (!error) {
		host->threads_stopped = host->threads->n;
		return 0;
	}
	threads_detach(host->threads);
	host->threads = NULL;
	bool late = error->code == USP_NOT_QUIESCENT;
	if (late) {
		/* The latest reason is the one to tell. */
		usp_error_destroy(host->error);
		host->error = NULL;
	}
	return keep(host, error, late ? -CORE_ETIMEDOUT : -CORE_EIO);
}

static void note_blocker(struct host *host, const struct thread *thread, enum stack_verdict verdict,
			 struct stack_trace *trace)
{
	struct host_blocker *blocker = &host->blocker;
	blocker->seen = blocker->tid == thread->tid ? blocker->seen + 1 : 1;
	blocker->tid = thread->tid;
	memcpy(blocker->name, thread->name, sizeof(blocker->name));
	blocker->unknown = verdict == STACK_UNKNOWN;
	stack_trace_free(blocker->trace);
	blocker->trace = trace;
}

static int look_at_all(struct host *host, const struct range_set *set, uint64_t deadline_ns)
{
	for (size_t i = 0; i < host->threads->n; i++) {
		const struct thread *thread = &host->threads->v[i];
		if (thread->state == THREAD_EXITED)
			continue;
		enum stack_verdict verdict;
		struct stack_trace *trace = NULL;
		struct usp_timeline *timeline = host->session->target->timeline;
		uint64_t began_ns = timeline_now(timeline);
		struct usp_error *error = stack_check(host->checker, thread, set, &verdict, &trace);
		timeline_span(timeline, thread->tid, began_ns, "look",
			      error		      ? "failed"
			      : verdict == STACK_FREE ? "outside"
			      : verdict == STACK_BUSY ? "inside"
						      : "unsure",
			      0);
		if (error) {
			/* Could not find out is never safe. */
			stack_trace_free(trace);
			return keep(host,
				    usp_error_prefix(error, "looking at the stack of thread %d (%s)",
						     thread->tid, thread->name),
				    -CORE_EIO);
		}
		if (verdict != STACK_FREE) {
			note_blocker(host, thread, verdict, trace);
			return -CORE_EAGAIN;
		}
		stack_trace_free(trace);
		if (now_ns() > deadline_ns)
			return -CORE_EAGAIN;
	}
	return 0;
}

static int op_quiescent(void *context, const struct host_range *ranges, size_t n, uint64_t deadline_ns)
{
	struct host *host = context;
	struct range_set set = {0};
	for (size_t i = 0; i < n; i++)
		if (range_set_add(&set, ranges[i].start, ranges[i].end) < 0) {
			range_set_deinit(&set);
			return -ENOMEM;
		}
	range_set_seal(&set);
	int r = look_at_all(host, &set, deadline_ns + host->seize_ns);
	range_set_deinit(&set);
	if (r < 0 || !host->scan.wanted)
		return r;
	bool found;
	struct usp_error *error = scan_try_stopped(host, ranges, n, &found);
	return error ? keep(host, error, -CORE_EIO) : found ? -CORE_EAGAIN : 0;
}

/* ---- the gate ---- */

static int op_gate_open(void *context, struct action_intent *intent, const struct host_range *ranges,
			size_t n)
{
	struct host *host = context;
	const char *why;
	struct usp_error *error =
		gate_create(host->session, host->checker, intent, ranges, n, &host->gate, &why);
	if (error)
		return keep(host, error, -CORE_EIO);
	if (!host->gate) {
		session_log(host->session, USP_LOG_INFO, intent->payload->name,
			    "all threads are stopped for this instead of a gate: %s", why);
		return -CORE_ENOTSUP;
	}
	host->gate_stops_all =
		intent->payload->hooks[HOOK_POST_APPLY] || intent->payload->hooks[HOOK_POST_REVERT];
	if (intent->action == ACTION_REPLACE)
		for (const struct engine_payload *p = host->engine.top; p; p = p->below)
			host->gate_stops_all |= p->hooks[HOOK_POST_REVERT] != 0;
	return 0;
}

static int op_ready(void *context)
{
	struct host *host = context;
	bool ready;
	struct usp_error *error = gate_ready(host->gate, &ready);
	return error ? keep(host, error, -CORE_EIO) : ready ? 0 : -CORE_EAGAIN;
}

static int op_drain(void *context, const struct poke *poke, const struct host_range *ranges, size_t n,
		    uint64_t deadline_ns)
{
	struct host *host = context;
	bool drained;
	(void)poke;
	(void)ranges; /* as gate_open had them */
	(void)n;
	struct usp_error *error = gate_drain(host->gate, deadline_ns, &drained);
	if (error)
		return keep(host, error, -CORE_EIO);
	host->threads_stopped = gate_threads(host->gate);
	return drained ? 0 : -CORE_EAGAIN;
}

static int op_let_go(void *context, const struct poke *poke)
{
	struct host *host = context;
	bool at_site = poke->n == 0 || poke->phase == POKE_READY || poke->phase == POKE_BACK ||
		       poke->phase == POKE_DONE;
	return keep(host, gate_let_go(host->gate, at_site), -CORE_EIO);
}

static int op_gate_close(void *context)
{
	struct host *host = context;
	host_note_blockers(host);
	struct usp_error *error = gate_close(host->gate, host->gate_stops_all);
	host->gate = NULL;
	return keep(host, error, -CORE_EIO);
}

static int op_retract(void *context, const struct action_intent *intent)
{
	struct host *host = context;
	(void)intent;
	return registry_flip(host->session->target, host->session->registry);
}

/* ---- hooks ---- */

static const struct record_hook *find_hook(const struct record *record, enum hook_kind kind, size_t index)
{
	for (size_t i = 0; i < record->n_hooks; i++)
		if (record->hooks[i].kind == (uint32_t)kind && !index--)
			return &record->hooks[i];
	return NULL;
}

/* Where the borrowed thread's errno lies: its C library says. 0: there is none to ask. */
static uint64_t errno_address(const struct host *host, struct remote *remote)
{
	static const uint64_t none[6];
	struct resolved resolved;
	uint64_t address = 0;
	if (!host->session->modules->n)
		return 0;
	struct usp_error *error = symbol_resolve(host->session->modules, host->session->modules->v[0],
						 "__errno_location", NULL, NULL, &resolved);
	if (!error)
		error = remote_call(remote, resolved.address, none, 0, now_ns() + HOOK_TIME_NS, &address);
	if (error) {
		usp_error_destroy(error);
		return 0;
	}
	return address;
}

static struct usp_error *run_hook(struct host *host, struct remote *remote, const struct record_hook *hook,
				  int *result)
{
	static const uint64_t none[6];
	uint64_t value = 0;
	struct usp_error *error = remote_call(remote, hook->address, none, errno_address(host, remote),
					      now_ns() + HOOK_TIME_NS, &value);
	*result = (int)value;
	return error;
}

static int op_hook(void *context, const struct engine_payload *payload, enum hook_kind kind, size_t index,
		   int *result)
{
	struct host *host = context;
	const struct host_payload *of = payload->user;
	const struct record_hook *hook = find_hook(of->record, kind, index);
	if (!hook)
		return -CORE_ENOENT;
	struct usp_error *error;
	if (host->threads) {
		error = need_remote(host);
		if (!error)
			error = run_hook(host, host->remote, hook, result);
		return keep(host, error, -CORE_EIO);
	}
	error = host->callable ? NULL : callable_create(host->session, &host->callable);
	struct remote *remote = NULL;
	if (!error)
		error = remote_open(host->session->target, &host->session->maps, NULL,
				    &host->session->registry->header.area, callable_accept, host->callable,
				    &remote);
	if (!error)
		error = run_hook(host, remote, hook, result);
	struct usp_error *close_error = remote_close(remote);
	if (!error)
		error = close_error;
	else
		usp_error_destroy(close_error);
	return keep(host, error, -CORE_EIO);
}

/* ---- the journal ---- */

/* registry->entries become what they are after the action. */
static void stage_after(struct host *host, const struct action_intent *intent)
{
	struct registry_entry *entries = host->session->registry->entries;
	const struct host_payload *payload = intent->payload->user;
	struct registry_entry *entry = &entries[payload->index];
	uint32_t position = registry_height(host->session->registry) + 1;
	if (intent->action == ACTION_REPLACE) {
		for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++) {
			if (!entries[i].record || !entries[i].position)
				continue;
			entries[i].state = USP_STATE_CHECKED;
			entries[i].position = entries[i].switched = 0;
		}
		position = 1;
	}
	bool on = intent->action != ACTION_REVERT;
	entry->state = on ? USP_STATE_APPLIED : USP_STATE_CHECKED;
	entry->position = on ? position : 0;
	entry->switched = on && intent->switched;
	entry->applied_once = 1;
	entry->entered = 1;
	entry->last_action = intent->action;
	entry->last_result = USP_OK;
}

static int op_intent(void *context, const struct action_intent *intent)
{
	struct host *host = context;
	struct registry *registry = host->session->registry;
	if (!host->threads)
		for (size_t i = 0; i < intent->n_sites; i++) {
			int r = text_prepare(host->session->target, intent->sites[i].address,
					     intent->sites[i].length);
			if (r < 0)
				return keep(host,
					    usp_error_errno(USP_FAILED, -r,
							    "the page of the code at 0x%lx cannot be made "
							    "writable by usplice",
							    intent->sites[i].address),
					    r);
		}
	if (!host->before) {
		host->before = malloc(sizeof(registry->entries));
		if (!host->before)
			return -ENOMEM;
		memcpy(host->before, registry->entries, sizeof(registry->entries));
	} else {
		memcpy(registry->entries, host->before, sizeof(registry->entries));
	}
	stage_after(host, intent);
	struct usp_error *error = registry_stage(host->session->target, registry);
	if (!error)
		error = registry_set_in_flight(host->session->target, registry,
					       (enum registry_action)intent->action);
	return keep(host, error, -CORE_EIO);
}

static int op_commit(void *context, const struct action_intent *intent)
{
	struct host *host = context;
	(void)intent;
	return registry_flip(host->session->target, host->session->registry);
}

static int op_settled(void *context, const struct action_intent *intent, int status)
{
	struct host *host = context;
	struct registry *registry = host->session->registry;
	(void)intent;
	if (status && host->before)
		memcpy(registry->entries, host->before, sizeof(registry->entries));
	free(host->before);
	host->before = NULL;
	return keep(host, registry_set_in_flight(host->session->target, registry, REGISTRY_NONE), -CORE_EIO);
}

static bool op_has_symbol(void *context, const char *name)
{
	struct host *host = context;
	struct symbol symbol;
	if (!host->module)
		return false;
	struct usp_error *error = symbol_find(host->module, name, NULL, STT_NOTYPE, &symbol);
	bool none = error && error->code == USP_NOT_FOUND;
	usp_error_destroy(error);
	return !none;
}

static void op_log(void *context, const char *payload, const char *what, int64_t value)
{
	struct host *host = context;
	session_log(host->session, USP_LOG_DEBUG, payload, "%s (%ld)", what, value);
}

const struct host_ops process_host_ops = {
	.read = op_read,
	.write = op_write,
	.sync = op_sync,
	.now_ns = op_now_ns,
	.relax = op_relax,
	.pause = op_pause,
	.stop = op_stop,
	.quiescent = op_quiescent,
	.release = op_release,
	.gate_open = op_gate_open,
	.ready = op_ready,
	.drain = op_drain,
	.let_go = op_let_go,
	.gate_close = op_gate_close,
	.retract = op_retract,
	.hook = op_hook,
	.intent = op_intent,
	.commit = op_commit,
	.settled = op_settled,
	.has_symbol = op_has_symbol,
	.log = op_log,
};
