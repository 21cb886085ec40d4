// SPDX-License-Identifier: MIT
/*
 * The public actions (usplice/action.h) over the engine and the process host.
 */
#include <string.h>

#include <usplice/list.h>

#include "process/find.h"
#include "process/host/host.h"
#include "process/perfmap.h"
#include "process/timeline.h"
#include "process/recover.h"
#include "process/tracer.h"
#include "process/upload.h"

/* Opens a locked session in which nothing is unfinished. */
static struct usp_error *begin(struct usp_process *process, const struct usp_options *options,
			       struct usp_outcome *outcome, struct session **session)
{
	memset(outcome, 0, sizeof(*outcome));
	struct usp_error *error = session_open(process, options, true, session);
	if (error)
		return session_reason(process->target, error);
	uint64_t began_ns = timeline_now(process->target->timeline);
	bool unfinished = recover_needed((*session)->registry);
	if (unfinished && (*session)->options.dry_run)
		error = usp_errorf(
			USP_BUSY,
			"process %d has an interrupted action: run `usplice recover --pid %d` first",
			process->target->pid, process->target->pid);
	else
		error = recover(*session, &outcome->recovered);
	if (unfinished)
		timeline_span(process->target->timeline, 0, began_ns, "recover", NULL, 0);
	if (!error)
		return NULL;
	session_close(*session);
	*session = NULL;
	return session_reason(process->target, error);
}

/* Takes the action's error, gives the one to tell. */
static struct usp_error *end(struct session *session, struct usp_outcome *outcome, struct usp_error *error)
{
	struct target *target = session->target;
	outcome->wall_ns = now_ns() - session->began_ns;
	session_close(session);
	return session_reason(target, error);
}

static void name_outcome(struct usp_outcome *outcome, const char *name, const uint8_t *build_id, size_t size)
{
	memcpy(outcome->name, name, strnlen(name, sizeof(outcome->name) - 1));
	build_id_format(build_id, size, outcome->build_id);
}

static void fill_outcome(struct usp_outcome *outcome, const struct host *host,
			 const struct action_report *report)
{
	outcome->mode = report->mode == ACTION_MODE_GATE ? USP_MODE_GATE : USP_MODE_RENDEZVOUS;
	outcome->tries = report->tries;
	outcome->threads = (uint32_t)host->threads_stopped;
	outcome->sites = (uint32_t)report->n_sites;
	outcome->syncs = report->syncs;
	outcome->stopped_ns = report->mode == ACTION_MODE_GATE ? report->stopped_ns : host->stopped_ns;
}

static void tell_after_error(struct session *session, const struct action_report *report)
{
	if (report->after_error)
		session_log(session, USP_LOG_WARNING,
			    report->after_payload ? report->after_payload->name : "usplice",
			    "the action is done, but afterwards something failed (%s, reason %d)",
			    strerror(-report->after_error), report->after_reason);
}

/* Under no consistency threads stay in old code, whose first bytes are rewritten: it must not jump back into
 * them. */
static struct usp_error *check_consistency(const struct session *session, int index)
{
	const struct record *record = session->registry->records[index];
	if (session->options.consistency != USP_CONSISTENCY_NONE)
		return NULL;
	for (size_t i = 0; i < record->n_functions; i++)
		if (record->functions[i].enterable)
			return usp_errorf(USP_UNSUPPORTED,
					  "function %s may jump back into its first bytes (a loop, or a jump "
					  "that could not be "
					  "followed): it can be replaced with --consistency global only",
					  record->functions[i].name);
	return NULL;
}

/* What is found outside stays outside only while nobody runs: so no gate. */
static void want_scan(struct session *session, struct host *host)
{
	host->scan.wanted = true;
	host->scan.limit_ns = session->options.scan_ms * 1000000ull;
	session->options.mode = USP_MODE_RENDEZVOUS;
	session_log(session, USP_LOG_INFO, "scan",
		    "all threads are stopped while the memory is looked through");
}

/* One engine action on entry `index`. */
static struct usp_error *run(struct session *session, int index, engine_action *action,
			     struct usp_outcome *outcome)
{
	struct host *host;
	struct action_report report = {0};
	uint64_t began_ns = timeline_now(session->target->timeline);
	struct usp_error *error = check_consistency(session, index);
	if (!error)
		error = host_create(session, &host);
	if (error)
		return error;
	error = host_prepare_looks(host);
	if (!error)
		error = host_room(host);
	timeline_span(session->target->timeline, 0, began_ns, "prepare", NULL, 0);
	if (session->options.scan == USP_SCAN_ALL)
		want_scan(session, host);
	uint64_t now = now_ns();
	struct action_options options = {
		.nodeps = session->options.nodeps,
		.mode = session->options.mode == USP_MODE_RENDEZVOUS ? ACTION_MODE_RENDEZVOUS
								     : ACTION_MODE_GATE,
		.consistency = session->options.consistency == USP_CONSISTENCY_NONE
				       ? ACTION_CONSISTENCY_NONE
				       : ACTION_CONSISTENCY_GLOBAL,
		.try_ns = session->options.try_ms * 1000000ull,
		.overall_ns = session->deadline_ns > now + 1000000 ? session->deadline_ns - now : 1000000,
	};
	if (!error) {
		int r = tracer_run(host, action, &host_find(host, index)->engine, &options, &report);
		if (r < 0)
			error = host_report(host, &report);
		else
			tell_after_error(session, &report);
		fill_outcome(outcome, host, &report);
		if (r < 0 || action != action_unload) {
			struct usp_error *keep = host_keep_states(host);
			if (!error)
				error = keep;
			else
				usp_error_destroy(keep);
		}
	}
	host_destroy(host);
	return error;
}

/* What would be refused without stopping anybody. */
static struct usp_error *dry(struct session *session, int index, enum action_kind kind)
{
	struct host *host;
	struct action_report report;
	struct action_options options = {.nodeps = session->options.nodeps};
	struct usp_error *error = host_create(session, &host);
	if (error)
		return error;
	if (action_check(&host->engine, &host_find(host, index)->engine, kind, &options, &report) < 0)
		error = host_report(host, &report);
	host_destroy(host);
	return error;
}

static struct usp_error *act(struct usp_process *process, const char *payload,
			     const struct usp_options *options, struct usp_outcome *outcome,
			     enum action_kind kind, engine_action *action)
{
	struct usp_outcome ignored;
	struct session *session;
	int index;
	if (!outcome)
		outcome = &ignored;
	struct usp_error *error = begin(process, options, outcome, &session);
	if (error)
		return error;
	error = find_payload(session, payload, &index);
	if (!error) {
		const struct record *record = session->registry->records[index];
		name_outcome(outcome, record->name, record->build_id, record->build_id_size);
		error = session->options.dry_run ? dry(session, index, kind)
						 : run(session, index, action, outcome);
		if (!error && kind == ACTION_UNLOAD && !session->options.dry_run)
			error = upload_remove(session, index);
	}
	return end(session, outcome, error);
}

struct usp_error *usp_apply(struct usp_process *process, const char *payload,
			    const struct usp_options *options, struct usp_outcome *outcome)
{
	return act(process, payload, options, outcome, ACTION_APPLY, action_apply);
}

struct usp_error *usp_revert(struct usp_process *process, const char *payload,
			     const struct usp_options *options, struct usp_outcome *outcome)
{
	return act(process, payload, options, outcome, ACTION_REVERT, action_revert);
}

struct usp_error *usp_replace(struct usp_process *process, const char *payload,
			      const struct usp_options *options, struct usp_outcome *outcome)
{
	return act(process, payload, options, outcome, ACTION_REPLACE, action_replace);
}

struct usp_error *usp_unload(struct usp_process *process, const char *payload,
			     const struct usp_options *options, struct usp_outcome *outcome)
{
	return act(process, payload, options, outcome, ACTION_UNLOAD, action_unload);
}

static struct usp_error *upload_file(struct session *session, const char *file, struct usp_outcome *outcome,
				     int *index)
{
	struct plan *plan;
	struct usp_timeline *timeline = session->target->timeline;
	uint64_t began_ns = timeline_now(timeline);
	struct usp_error *error = plan_create(session, file, &plan);
	timeline_span(timeline, 0, began_ns, "plan", NULL, 0);
	if (error)
		return error;
	name_outcome(outcome, plan->name, plan->payload->build_id, plan->payload->build_id_size);
	began_ns = timeline_now(timeline);
	error = upload(session, plan, index);
	timeline_span(timeline, 0, began_ns, "upload", NULL, 0);
	plan_destroy(plan);
	return error;
}

struct usp_error *usp_upload(struct usp_process *process, const char *file, const struct usp_options *options,
			     struct usp_outcome *outcome)
{
	struct usp_outcome ignored;
	struct session *session;
	int index;
	if (!outcome)
		outcome = &ignored;
	struct usp_error *error = begin(process, options, outcome, &session);
	if (error)
		return error;
	error = upload_file(session, file, outcome, &index);
	return end(session, outcome, error);
}

struct usp_error *usp_load(struct usp_process *process, const char *file, const struct usp_options *options,
			   struct usp_outcome *outcome)
{
	struct usp_outcome ignored;
	struct session *session;
	int index;
	if (!outcome)
		outcome = &ignored;
	struct usp_error *error = begin(process, options, outcome, &session);
	if (error)
		return error;
	error = upload_file(session, file, outcome, &index);
	if (!error && !session->options.dry_run) {
		error = run(session, index, action_apply, outcome);
		if (error) {
			struct usp_error *undo = upload_remove(session, index);
			if (undo)
				session_log(session, USP_LOG_WARNING, outcome->name,
					    "taking the upload back failed: %s", undo->message);
			usp_error_destroy(undo);
		}
	}
	return end(session, outcome, error);
}

struct usp_error *usp_recover(struct usp_process *process, const struct usp_options *options, bool *recovered)
{
	struct session *session;
	struct usp_error *error = session_open(process, options, true, &session);
	if (error)
		return error;
	error = recover(session, recovered);
	session_close(session);
	return error;
}
