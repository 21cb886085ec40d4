// SPDX-License-Identifier: MIT
#include "process/host/timeline.h"

#include <stdlib.h>

#include "process/gate/internal.h"
#include "process/timeline.h"

struct host_marks {
	struct host_ops ops;
	uint64_t try_ns; /* when this try began; 0: none is under way */
	unsigned tries;
	const char *outcome; /* of this try, as far as it came */
	enum {
		BEFORE_DRAIN,
		DRAINED,
		NOT_DRAINED,
	} drain;
	unsigned syncs;	     /* of this try */
	const char *writing; /* what the bytes written since the last sync are; NULL: none were */
	uint64_t write_ns, writes;
};

static struct usp_timeline *timeline_of(const struct host *host)
{
	return host->session->target->timeline;
}

static void span(struct host *host, uint64_t began_ns, const char *name, const char *detail, uint64_t number)
{
	timeline_span(timeline_of(host), 0, began_ns, name, detail, number);
}

/* ---- one try, as a bracket around its steps ---- */

static void begin_try(struct host *host)
{
	struct host_marks *marks = host->marks;
	marks->try_ns = timeline_clock_ns();
	marks->tries++;
	marks->outcome = "failed";
	marks->drain = BEFORE_DRAIN;
	marks->syncs = 0;
}

static void end_writes(struct host *host)
{
	struct host_marks *marks = host->marks;
	if (marks->writing)
		span(host, marks->write_ns, marks->writing, NULL, marks->writes);
	marks->writing = NULL;
	marks->writes = 0;
}

static void end_try(struct host *host)
{
	struct host_marks *marks = host->marks;
	end_writes(host);
	if (marks->try_ns)
		span(host, marks->try_ns, "try", marks->outcome, marks->tries);
	marks->try_ns = 0;
}

/* 0, -CORE_EAGAIN or a failure. */
static const char *outcome_of(int r, const char *done)
{
	return r == 0 ? done : r == -CORE_EAGAIN ? "somebody inside" : "failed";
}

/* ---- text ---- */

static const char *what_is_written(const struct host *host, uint64_t address)
{
	if (!host->gate)
		return "sites";
	if (host->marks->drain != DRAINED)
		return host->marks->drain == BEFORE_DRAIN ? "traps" : "traps away";
	return gate_find_site(host->gate, address + host->gate->adjust) >= 0 ? "first bytes" : "tails";
}

static int op_write(void *context, const struct host_write *v, size_t n, size_t *done)
{
	struct host *host = context;
	struct host_marks *marks = host->marks;
	if (!marks->writing) {
		marks->writing = what_is_written(host, v[0].address);
		marks->write_ns = timeline_clock_ns();
	}
	marks->writes += n;
	return process_host_ops.write(context, v, n, done);
}

static int op_sync(void *context)
{
	static const char *const names[] = {"sync 1", "sync 2", "sync 3", "sync"};
	struct host *host = context;
	unsigned number = ++host->marks->syncs;
	end_writes(host);
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.sync(context);
	span(host, began_ns, names[number <= 3 ? number - 1 : 3], NULL, number);
	return r;
}

static int op_pause(void *context, uint64_t ns)
{
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.pause(context, ns);
	span(context, began_ns, "pause", NULL, 0);
	return r;
}

/* ---- rendezvous ---- */

static int op_stop(void *context, uint64_t deadline_ns)
{
	struct host *host = context;
	begin_try(host);
	int r = process_host_ops.stop(context, deadline_ns);
	if (r < 0) {
		host->marks->outcome = r == -CORE_ETIMEDOUT ? "not stopped in time" : outcome_of(r, NULL);
		span(host, host->marks->try_ns, "stop", host->marks->outcome, 0);
		end_try(host);
		return r;
	}
	uint64_t stop_ns = host->threads->stop_begin_ns;
	timeline_put(timeline_of(host), 0, stop_ns - host->seize_ns, stop_ns, false, "seize", NULL, 0);
	span(host, stop_ns, "stop", NULL, host->threads->n);
	for (size_t i = 0; i < host->threads->n; i++)
		timeline_thread(timeline_of(host), host->threads->v[i].tid, host->threads->v[i].name);
	return r;
}

static int op_quiescent(void *context, const struct host_range *ranges, size_t n, uint64_t deadline_ns)
{
	struct host *host = context;
	struct host_blocker before = host->blocker;
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.quiescent(context, ranges, n, deadline_ns);
	span(host, began_ns, "looks", NULL, 0);
	host->marks->outcome = outcome_of(r, "quiescent");
	const struct host_blocker *blocker = &host->blocker;
	if (r == -CORE_EAGAIN && (blocker->tid != before.tid || blocker->seen != before.seen)) {
		_cleanup_free_ char *where = stack_trace_text(blocker->trace);
		timeline_blocker(timeline_of(host), blocker->tid, blocker->name, where);
	} else if (r == -CORE_EAGAIN)
		host->marks->outcome = "not all looked at in time";
	return r;
}

static int op_release(void *context)
{
	struct host *host = context;
	struct usp_timeline *timeline = timeline_of(host);
	uint64_t began_ns = timeline_clock_ns(), stopped_ns = host->threads->stop_begin_ns;
	end_writes(host);
	/* The list ends with the release. Without memory for it there are no events either. */
	size_t n = 0;
	_cleanup_free_ pid_t *tids = calloc(host->threads->n + 1, sizeof(*tids));
	for (size_t i = 0; tids && i < host->threads->n; i++)
		if (host->threads->v[i].state != THREAD_EXITED)
			tids[n++] = host->threads->v[i].tid;
	int r = process_host_ops.release(context);
	uint64_t released_ns = timeline_clock_ns();
	for (size_t i = 0; i < n; i++)
		timeline_put(timeline, tids[i], stopped_ns, released_ns, false, "stopped", NULL, 0);
	span(host, began_ns, "release", NULL, 0);
	end_try(host);
	return r;
}

/* ---- the gate ---- */

static int op_gate_open(void *context, struct action_intent *intent, const struct host_range *ranges,
			size_t n)
{
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.gate_open(context, intent, ranges, n);
	span(context, began_ns, "open gate", r == -CORE_ENOTSUP ? "no gate: all threads are stopped" : NULL,
	     0);
	return r;
}

static int op_ready(void *context)
{
	struct host *host = context;
	begin_try(host);
	int r = process_host_ops.ready(context);
	span(host, host->marks->try_ns, "ready", NULL, 0);
	if (r < 0) {
		host->marks->outcome = outcome_of(r, NULL);
		end_try(host);
	}
	return r;
}

static int op_drain(void *context, const struct poke *poke, const struct host_range *ranges, size_t n,
		    uint64_t deadline_ns)
{
	struct host *host = context;
	end_writes(host);
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.drain(context, poke, ranges, n, deadline_ns);
	span(host, began_ns, "drain", NULL, 0);
	host->marks->drain = r == 0 ? DRAINED : NOT_DRAINED;
	host->marks->outcome = outcome_of(r, "drained");
	return r;
}

static int op_let_go(void *context, const struct poke *poke)
{
	end_writes(context);
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.let_go(context, poke);
	span(context, began_ns, "let go", NULL, 0);
	end_try(context);
	return r;
}

static int op_gate_close(void *context)
{
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.gate_close(context);
	span(context, began_ns, "close gate", NULL, 0);
	return r;
}

static int op_retract(void *context, const struct action_intent *intent)
{
	struct host *host = context;
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.retract(context, intent);
	span(host, began_ns, "retract", NULL, 0);
	host->marks->outcome = "retracted";
	return r;
}

/* ---- hooks and the journal ---- */

static int op_hook(void *context, const struct engine_payload *payload, enum hook_kind kind, size_t index,
		   int *result)
{
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.hook(context, payload, kind, index, result);
	span(context, began_ns, "hook", payload->name, (uint64_t)kind);
	return r;
}

static int op_intent(void *context, const struct action_intent *intent)
{
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.intent(context, intent);
	span(context, began_ns, "intent", NULL, intent->n_sites);
	return r;
}

static int op_commit(void *context, const struct action_intent *intent)
{
	struct host *host = context;
	end_writes(host);
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.commit(context, intent);
	span(host, began_ns, "commit", NULL, 0);
	host->marks->outcome = r == 0 ? "committed" : "failed";
	return r;
}

static int op_settled(void *context, const struct action_intent *intent, int status)
{
	uint64_t began_ns = timeline_clock_ns();
	int r = process_host_ops.settled(context, intent, status);
	span(context, began_ns, "settle", NULL, 0);
	return r;
}

const struct host_ops *host_timeline_ops(struct host *host)
{
	if (!timeline_of(host))
		return &process_host_ops;
	struct host_marks *marks = calloc(1, sizeof(*marks));
	if (!marks)
		return &process_host_ops; /* and no phases, then */
	marks->ops = process_host_ops;
	marks->ops.write = op_write;
	marks->ops.sync = op_sync;
	marks->ops.pause = op_pause;
	marks->ops.stop = op_stop;
	marks->ops.quiescent = op_quiescent;
	marks->ops.release = op_release;
	marks->ops.gate_open = op_gate_open;
	marks->ops.ready = op_ready;
	marks->ops.drain = op_drain;
	marks->ops.let_go = op_let_go;
	marks->ops.gate_close = op_gate_close;
	marks->ops.retract = op_retract;
	marks->ops.hook = op_hook;
	marks->ops.intent = op_intent;
	marks->ops.commit = op_commit;
	marks->ops.settled = op_settled;
	host->marks = marks;
	return &marks->ops;
}
