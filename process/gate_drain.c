// SPDX-License-Identifier: MIT
/*
 * The gate is up, and everybody has the trap in view (sync 1): from now on who is outside stays outside,
 * because the only way in is the entry, and the entry traps. So each thread needs to be seen outside once.
 */
#include <string.h>
#include <sys/ptrace.h>

#include "process/gate_internal.h"

#define NAP_FIRST_NS 10000
#define NAP_LAST_NS  200000

static void begin(struct gate *gate)
{
	gate->raised = true;
	for (size_t i = 0; i < gate->n; i++)
		gate->v[i].drained =
			gate->v[i].held; /* who was held meanwhile stands at a trap, and was seen outside */
}

/*
 * Looks at those who are not drained yet. *left: how many remain. *hopeless: one of them sleeps inside, as he
 * did when he was looked at before the gate: nobody is kept waiting for him.
 */
static struct usp_error *look_round(struct gate *gate, bool first, size_t *left, bool *hopeless)
{
	*left = 0;
	for (size_t i = 0; i < gate->n; i++) {
		enum gate_verdict verdict;
		if (gate->v[i].drained || gate->threads->v[i].state == THREAD_EXITED)
			continue;
		bool known = gate->v[i].looked;
		uint64_t runs = gate->v[i].runs;
		struct usp_error *error = gate_look(gate, i, &verdict);
		if (error)
			return error;
		if (verdict == GATE_OUTSIDE) {
			gate->v[i].drained = true;
			continue;
		}
		++*left;
		if (verdict == GATE_INSIDE)
			*hopeless |= first && known && gate->v[i].runs == runs;
		else
			gate_interrupt(gate, i);
	}
	return NULL;
}

static void count_blockers(struct gate *gate)
{
	for (size_t i = 0; i < gate->n_blockers; i++) {
		ssize_t at = gate_index(gate, gate->blockers[i].tid);
		if (at >= 0 && !gate->v[at].drained && gate->threads->v[at].state != THREAD_EXITED)
			gate->blockers[i].seen++;
	}
}

struct usp_error *gate_drain(struct gate *gate, uint64_t deadline_ns, bool *drained)
{
	uint64_t nap_ns = NAP_FIRST_NS;
	struct usp_error *error = NULL;
	bool first = true;
	*drained = false;
	begin(gate);
	for (;;) {
		size_t left, served;
		bool hopeless = false;
		error = gate_serve(gate, &served);
		if (!error)
			error = look_round(gate, first, &left, &hopeless);
		if (error)
			return error;
		if (!left) {
			*drained = true;
			return NULL;
		}
		if (hopeless || now_ns() >= deadline_ns) {
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
		struct thread *thread = &gate->threads->v[i];
		if (!at->held)
			continue;
		const struct net_site *site = &gate->sites[at->site];
		uint64_t rip = at_site ? site->address : word == gate->old_word ? site->old_to : site->new_to;
		at->held = false;
		ptrace(PTRACE_POKEUSER, thread->tid, (void *)offsetof(struct user, regs.rip), (void *)rip);
		if (thread->interrupted) /* used up by the trap's stop */
			ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
		ptrace(PTRACE_CONT, thread->tid, NULL, NULL);
	}
	return gate_children_let_go(gate);
}
