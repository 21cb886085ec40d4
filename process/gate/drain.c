// SPDX-License-Identifier: MIT
/*
 * The gate is up, and everybody has the trap in view (sync 1): from now on who is outside stays outside,
 * because the only way in is the entry, and the entry traps. So each thread needs to be seen outside once.
 */
#include <string.h>
#include <unistd.h>

#include "process/gate/internal.h"

#define NAP_FIRST_NS 10000
#define NAP_LAST_NS  200000
#define SLICE_NS     4000000 /* a scheduler's turn, about */
#define TURNS_MAX    8

static void begin(struct gate *gate)
{
	gate->raised = true;
	gate->tries++;
	/* Who was held meanwhile stands at a trap, and was seen outside. Where there are no sites (an unload)
	 * there is no way in at all, and what was seen in earlier tries holds. */
	for (size_t i = 0; i < gate->n && gate->n_sites; i++)
		gate->v[i].drained = gate->v[i].held;
}

/*
 * Where more threads run than there are CPUs, those who run must have their turns before they can be asked.
 * That is no time they would have had otherwise, so the try gets it on top.
 */
static uint64_t turns_ns(const struct gate *gate, size_t running)
{
	long cpus = gate->cpus;
	unsigned tries = gate->tries < TURNS_MAX ? gate->tries : TURNS_MAX;
	return cpus > 0 && running > (size_t)cpus ? running / (size_t)cpus * SLICE_NS * tries : 0;
}

/* Looks at those who are not drained yet. *left: how many remain; *running: of these. */
static struct usp_error *look_round(struct gate *gate, size_t *left, size_t *running)
{
	*left = *running = 0;
	for (size_t i = 0; i < gate->n; i++) {
		enum gate_verdict verdict;
		if (gate->v[i].drained || gate->threads->v[i].state == THREAD_EXITED)
			continue;
		struct usp_error *error = gate_look(gate, i, &verdict);
		if (error)
			return error;
		if (verdict == GATE_OUTSIDE) {
			gate->v[i].drained = true;
			continue;
		}
		++*left;
		*running += verdict == GATE_RUNS;
		if (verdict != GATE_INSIDE)
			gate_interrupt(gate, i);
	}
	return NULL;
}

static void count_blockers(struct gate *gate)
{
	for (size_t i = 0; i < gate->n_blockers; i++) {
		ssize_t at = gate_index(gate, gate->blockers[i].tid);
		if (at < 0 || gate->v[at].drained || gate->threads->v[at].state == THREAD_EXITED)
			continue;
		gate->blockers[i].seen++;
		if (!gate->target->timeline)
			continue;
		_cleanup_free_ char *where = stack_trace_text(gate->blockers[i].trace);
		timeline_blocker(gate->target->timeline, gate->blockers[i].tid, gate->blockers[i].name,
				 where ? where : gate->blockers[i].why);
	}
}

struct usp_error *gate_ready(struct gate *gate, bool *ready)
{
	size_t served;
	*ready = true;
	struct usp_error *error = gate_serve(gate, &served);
	if (!error && gate->n_sites)
		error = net_publish(gate->target, &gate->session->registry->header.net);
	for (size_t i = 0; i < gate->n && !error; i++) {
		enum gate_verdict verdict;
		gate->v[i].drained &= !gate->n_sites;
		gate->v[i].late_at = 0; /* a trap can be late once a try; what comes twice is a fault */
		if (gate->v[i].drained || gate->threads->v[i].state == THREAD_EXITED)
			continue;
		error = gate_look(gate, i, &verdict);
		*ready &= verdict != GATE_INSIDE;
	}
	if (error)
		return error;
	if (*ready)
		threads_hurry(gate->threads);
	else
		count_blockers(gate);
	return NULL;
}

struct usp_error *gate_drain(struct gate *gate, uint64_t deadline_ns, bool *drained)
{
	uint64_t nap_ns = NAP_FIRST_NS, began_ns = now_ns();
	struct usp_error *error = NULL;
	bool first = true;
	*drained = false;
	begin(gate);
	for (;;) {
		size_t left, running, served;
		error = gate_serve(gate, &served);
		if (!error)
			error = look_round(gate, &left, &running);
		if (error)
			return error;
		if (!left) {
			*drained = true;
			return NULL;
		}
		if (first) /* nobody has had time to answer yet */
			deadline_ns += now_ns() - began_ns + turns_ns(gate, running);
		if (now_ns() >= deadline_ns) {
			count_blockers(gate);
			return NULL;
		}
		first = false;
		if (served) {
			nap_ns = NAP_FIRST_NS;
		} else {
			thread_nap(nap_ns);
			nap_ns = nap_ns < NAP_LAST_NS ? 2 * nap_ns : NAP_LAST_NS;
		}
	}
}

struct usp_error *gate_let_go(struct gate *gate, bool at_site)
{
	uint64_t word = gate->old_word;
	if (!at_site &&
	    target_read(gate->target,
			gate->session->registry->address + offsetof(struct registry_header, current), &word,
			sizeof(word)) < 0)
		return usp_errorf(USP_FAILED, "cannot read the commit word of process %d", gate->target->pid);
	gate->raised = false;
	gate->unfinished = !at_site;
	for (size_t i = 0; i < gate->n; i++) {
		struct gate_thread *at = &gate->v[i];
		if (!at->held)
			continue;
		const struct net_site *site = &gate->sites[at->site];
		uint64_t rip = at_site ? site->address : word == gate->old_word ? site->old_to : site->new_to;
		at->held = false;
		gate_go_on_at(gate, i, rip);
		gate_mark_let_go(gate, i);
	}
	threads_calm(gate->threads); /* not before: those let go first would run first */
	return gate_children_let_go(gate);
}
