// SPDX-License-Identifier: MIT
/*
 * From the engine's report to a sentence: what, which function, which thread, what now.
 */
#include <stdio.h>
#include <string.h>

#include "process/host/host.h"

static const char *hook_name(enum hook_kind kind)
{
	static const char *const names[HOOK_KINDS] = {"load",	    "unload",	   "pre-apply", "post-apply",
						      "pre-revert", "post-revert", "apply",	"revert"};
	return (unsigned)kind < HOOK_KINDS ? names[kind] : "?";
}

static const char *name_of(const struct engine_payload *payload)
{
	return payload ? payload->name : "nothing";
}

static const char *function_at(const struct action_report *report)
{
	const struct host_payload *payload = report->payload ? report->payload->user : NULL;
	if (!payload || report->site >= payload->engine.n_sites)
		return "?";
	return payload->record->functions[payload->site_function[report->site]].name;
}

static void format_build_id(const struct engine_build_id *id, char *buf)
{
	if (id->size)
		build_id_format(id->bytes, id->size, buf);
	else
		strcpy(buf, "(none)");
}

static struct usp_error *depends(const struct action_report *report)
{
	char wanted[2 * ENGINE_BUILD_ID_MAX + 1];
	format_build_id(&report->payload->depends, wanted);
	return usp_errorf(USP_ORDER,
			  "it goes on top of the payload with build-id %s, but %s is on top: apply that one "
			  "first (or use --nodeps if you know that the order does not matter)",
			  wanted, name_of(report->other));
}

static struct usp_error *state(const struct action_report *report)
{
	const struct engine_payload *mine = report->payload, *other = report->other;
	uint32_t version = 0, theirs = 0;
	for (size_t i = 0; i < other->n_states; i++)
		if (!strcmp(other->states[i].name, report->symbol))
			theirs = other->states[i].version;
	for (size_t i = 0; i < mine->n_states; i++)
		if (!strcmp(mine->states[i].name, report->symbol))
			version = mine->states[i].version;
	if (!version)
		return usp_errorf(
			USP_ORDER,
			"payload %s has the state %s, and this one, which would take its place, does "
			"not know it: nobody would look after that data. Revert %s",
			other->name, report->symbol, other->name);
	return usp_errorf(
		USP_ORDER,
		"payload %s has the state %s in version %u, this one knows it in version %u only: it "
		"would not understand that data. Revert %s first",
		other->name, report->symbol, theirs, version, other->name);
}

void host_note_blockers(struct host *host)
{
	size_t n, size;
	const struct gate_blocker *blockers = gate_blockers(host->gate, &n);
	free(host->blockers);
	host->blockers = NULL;
	FILE *f = open_memstream(&host->blockers, &size);
	if (!f)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct gate_blocker *at = &blockers[i];
		if (!at->seen)
			continue;
		_cleanup_free_ char *where = stack_trace_text(at->trace);
		fprintf(f, "\nthread %d (%s) %s (at the end of %u tries)%s%s", at->tid, at->name,
			at->why	      ? at->why
			: at->unknown ? "may be inside: its stack could not be read to its end"
				      : "is inside",
			at->seen, where ? "\n" : "", where ? where : "");
	}
	if (fclose(f)) {
		free(host->blockers);
		host->blockers = NULL;
	}
}

static struct usp_error *not_quiescent(struct host *host, const struct action_report *report)
{
	const struct host_blocker *blocker = &host->blocker;
	if (host->scan.found)
		return usp_errorf(
			USP_NOT_QUIESCENT,
			"%s, at the end of %u tries; nothing was changed. It may be a word that was left "
			"over, too. Try again later, with a longer --timeout, or (if old and new code may "
			"run side by side) with --consistency none; without --scan all it is not looked for",
			host->scan.found, report->tries);
	if (report->mode == ACTION_MODE_GATE)
		return usp_errorf(
			USP_NOT_QUIESCENT,
			"the code that is going away did not become free in %u tries; nothing was changed. "
			"Try "
			"again at a quieter time, with a longer --timeout, with a payload that leaves this "
			"function "
			"out, or (if old and new code may run side by side) with --consistency none%s",
			report->tries, host->blockers ? host->blockers : "");
	if (!blocker->tid)
		return usp_errorf(USP_NOT_QUIESCENT,
				  "stopping %zu threads and looking at their stacks took longer than one try "
				  "may take (%u tries); nothing was changed. Allow more with --try",
				  host->threads_stopped, report->tries);
	_cleanup_free_ char *where = stack_trace_text(blocker->trace);
	return usp_errorf(
		USP_NOT_QUIESCENT,
		"thread %d (%s) %s (%u of %u tries ended with it); nothing was changed. Try again at a "
		"quieter time, with a longer --timeout, or with a payload that leaves this function out\n%s",
		blocker->tid, blocker->name,
		blocker->unknown
			? "may be inside the code that is going away: its stack could not be read to its end"
			: "is inside the code that is going away",
		blocker->seen, report->tries, where ? where : "");
}

static struct usp_error *take_error(struct host *host, enum usp_code code, const char *what, int number)
{
	struct usp_error *error = host->error;
	host->error = NULL;
	if (error)
		return usp_error_prefix(error, "%s", what);
	return usp_error_errno(code, number < 0 ? -number : 0, "%s", what);
}

static struct usp_error *of_reason(struct host *host, const struct action_report *report)
{
	switch (report->reason) {
	case ACTION_DUPLICATE_NAME:
		return usp_errorf(USP_EXISTS, "a payload of this name is there already");
	case ACTION_DUPLICATE_BUILD:
		return usp_errorf(USP_EXISTS,
				  "the same payload (same build-id) is there already under the name %s",
				  name_of(report->other));
	case ACTION_DUPLICATE_SYMBOL:
		return usp_errorf(USP_EXISTS,
				  "its new symbol %s exists already in %s: make it static or rename it",
				  report->symbol, report->other ? report->other->name : "the target");
	case ACTION_WRONG_STATE:
		return report->payload && report->payload->state == PAYLOAD_STATE_APPLIED
			       ? usp_errorf(USP_WRONG_STATE, "it is APPLIED: revert it first")
			       : usp_errorf(USP_WRONG_STATE, "it is not APPLIED");
	case ACTION_STALE_DATA:
		return usp_errorf(USP_WRONG_STATE, "it was applied before and has writable data, which may "
						   "be stale: unload it and load it afresh");
	case ACTION_DEPENDS:
		return depends(report);
	case ACTION_STATE:
		return state(report);
	case ACTION_NOT_ON_TOP:
		return usp_errorf(USP_ORDER, "it is not on top of the stack: %s is; revert that first",
				  name_of(report->other));
	case ACTION_OVERLAP:
		return usp_errorf(USP_EXISTS, "its bytes at 0x%lx (%s) overlap those of payload %s",
				  report->address, function_at(report), name_of(report->other));
	case ACTION_EXPECTED_BYTES:
		return usp_errorf(USP_MISMATCH,
				  "the bytes of %s at 0x%lx are not the expected ones (another patcher, a "
				  "breakpoint): nothing was changed",
				  function_at(report), report->address);
	case ACTION_IN_FLIGHT:
		return usp_errorf(USP_BUSY, "another action is under way");
	case ACTION_VETO:
		return usp_errorf(USP_VETO, "its %s hook said no (%d): nothing was changed",
				  hook_name(report->hook), report->hook_result);
	case ACTION_HOOK_LEFT_MIXED:
		return usp_errorf(USP_FAILED,
				  "its %s hook switched some functions and not others: all were put back",
				  hook_name(report->hook));
	case ACTION_HOOK_FAILED:
		if (!host->error)
			return usp_errorf(USP_FAILED, "its %s hook returned %d: nothing was changed",
					  hook_name(report->hook), report->hook_result);
		return take_error(host, USP_FAILED, "a hook could not be run", report->error);
	case ACTION_NOT_STOPPED:
		/* On a busy machine the last try may have ended with that. Who was inside in the others is
		 * the news. */
		if (host->blocker.tid || host->scan.found)
			return not_quiescent(host, report);
		if (host->error)
			return take_error(host, USP_NOT_QUIESCENT,
					  "not every thread came to a stop in time; nothing was changed",
					  report->error);
		return not_quiescent(host, report);
	case ACTION_NOT_QUIESCENT:
		return not_quiescent(host, report);
	case ACTION_WRITE:
		return take_error(host, USP_FAILED, "writing the target's code failed", report->error);
	case ACTION_JOURNAL:
		return take_error(host, USP_FAILED, "the registry in the target could not be written",
				  report->error);
	default:
		return take_error(host, USP_FAILED, "the action failed", report->error);
	}
}

struct usp_error *host_report(struct host *host, const struct action_report *report)
{
	struct usp_error *error = of_reason(host, report);
	if (report->text == ACTION_TEXT_MIXED)
		error = usp_error_prefix(error,
					 "putting the code back failed as well: run `usplice recover --pid "
					 "%d` before anything else",
					 host->session->target->pid);
	return error;
}
