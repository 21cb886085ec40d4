// SPDX-License-Identifier: MIT
/*
 * What becomes of each thread while the gate is open, on the timeline. As the controller sees it: a thread
 * may have stood at a trap for a little before its stop was noticed.
 */
#include <stdio.h>

#include "process/gate/internal.h"
#include "process/proc_stat.h"

static struct usp_timeline *timeline_of(const struct gate *gate)
{
	return gate->target->timeline;
}

static const char *name_of(const struct gate *gate, size_t site)
{
	return gate->names ? gate->names[site] : NULL;
}

void gate_mark_step(struct gate *gate, uint64_t *began_ns, const char *name)
{
	timeline_span(timeline_of(gate), 0, *began_ns, name, NULL, 0);
	*began_ns = timeline_now(timeline_of(gate));
}

void gate_mark_met(struct gate *gate, size_t i)
{
	const struct thread *thread = &gate->threads->v[i];
	char path[24], name[64];
	if (!timeline_of(gate))
		return;
	/* One that was born meanwhile has not been asked for its name. */
	snprintf(path, sizeof(path), "%d/comm", thread->tid);
	bool unknown = thread->name[0] == '?' && !thread->name[1] &&
		       proc_line_read(gate->target->taskfd, path, name, sizeof(name)) >= 0;
	timeline_thread(timeline_of(gate), thread->tid, unknown ? name : thread->name);
}

void gate_mark_look(struct gate *gate, size_t i, uint64_t began_ns, enum gate_verdict verdict, bool moved)
{
	static const char *const verdicts[] = {"runs", "outside", "inside", "unsure"};
	timeline_span(timeline_of(gate), gate->threads->v[i].tid, began_ns, "look",
		      moved ? "woke meanwhile" : verdicts[verdict], 0);
}

void gate_mark_runs(struct gate *gate, size_t i)
{
	timeline_moment(timeline_of(gate), gate->threads->v[i].tid, "runs", NULL, 0);
}

void gate_mark_asked(struct gate *gate, size_t i, uint64_t stopped_ns, bool looked)
{
	struct gate_thread *at = &gate->v[i];
	struct usp_timeline *timeline = timeline_of(gate);
	pid_t tid = gate->threads->v[i].tid;
	if (!timeline)
		return;
	if (at->asked_ns)
		timeline_put(timeline, tid, at->asked_ns, stopped_ns, false, "asked", NULL, 0);
	at->asked_ns = 0;
	timeline_span(timeline, tid, stopped_ns, "stopped",
		      !looked	    ? NULL
		      : at->drained ? "outside"
				    : "inside",
		      0);
}

void gate_mark_trap(struct gate *gate, size_t i, size_t site)
{
	struct gate_thread *at = &gate->v[i];
	if (at->held)
		at->held_ns = timeline_now(timeline_of(gate));
	else
		timeline_moment(timeline_of(gate), gate->threads->v[i].tid, "passed", name_of(gate, site),
				gate->sites[site].address);
}

void gate_mark_let_go(struct gate *gate, size_t i)
{
	struct gate_thread *at = &gate->v[i];
	if (at->held_ns)
		timeline_span(timeline_of(gate), gate->threads->v[i].tid, at->held_ns, "held",
			      name_of(gate, at->site), gate->sites[at->site].address);
	at->held_ns = 0;
}

void gate_mark_ended(struct gate *gate, size_t i)
{
	struct gate_thread *at = &gate->v[i];
	gate_mark_let_go(gate, i);
	at->asked_ns = 0;
	timeline_moment(timeline_of(gate), gate->threads->v[i].tid, "ended", NULL, 0);
}

void gate_mark_child(struct gate *gate, const struct gate_child *child)
{
	if (!child->stopped_ns)
		return;
	timeline_thread(timeline_of(gate), child->pid, "forked child");
	timeline_span(timeline_of(gate), child->pid, child->stopped_ns,
		      child->shares ? "waits" : "made whole", NULL, 0);
}
