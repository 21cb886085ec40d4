// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "process/timeline.h"

uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static struct usp_error *take_options(struct session *session, const struct usp_options *options)
{
	if (options) {
		/* A caller built against an older header has a shorter structure: what it lacks is default.
		 */
		if (options->size < offsetof(struct usp_options, log) || options->size > 4096)
			return usp_errorf(
				USP_USAGE,
				"struct usp_options has size %zu: set it to sizeof(struct usp_options)",
				options->size);
		size_t size = options->size < sizeof(*options) ? options->size : sizeof(*options);
		memcpy(&session->options, options, size);
	}
	struct usp_options *o = &session->options;
	if (!o->timeout_ms)
		o->timeout_ms = USP_TIMEOUT_DEFAULT_MS;
	if (!o->try_ms)
		o->try_ms = USP_TRY_DEFAULT_MS;
	if (o->mode > USP_MODE_GATE || o->consistency > USP_CONSISTENCY_NONE)
		return usp_errorf(USP_USAGE, "unknown mode %d or consistency %d", (int)o->mode,
				  (int)o->consistency);
	if (!o->scan_ms)
		o->scan_ms = USP_SCAN_DEFAULT_MS;
	if (o->scan > USP_SCAN_ALL)
		return usp_errorf(USP_USAGE, "unknown kind of scan %d", (int)o->scan);
	if (o->scan_ms > USP_SCAN_MAX_MS)
		return usp_errorf(USP_USAGE, "a scan of %u ms is too long: %u at most", o->scan_ms,
				  USP_SCAN_MAX_MS);
	if (o->timeout_ms > USP_TIMEOUT_MAX_MS)
		return usp_errorf(USP_USAGE, "a timeout of %u ms is too long: %u at most", o->timeout_ms,
				  USP_TIMEOUT_MAX_MS);
	if (o->try_ms < USP_TRY_MIN_MS || o->try_ms > USP_TRY_MAX_MS)
		return usp_errorf(USP_USAGE, "a try of %u ms: %u to %u are allowed", o->try_ms,
				  USP_TRY_MIN_MS, USP_TRY_MAX_MS);
	return NULL;
}

struct usp_error *session_open(struct usp_process *process, const struct usp_options *options, bool locked,
			       struct session **ret)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return &usp_error_no_memory;
	session->target = process->target;
	struct usp_error *error = take_options(session, options);
	struct usp_timeline *timeline = session->target->timeline = session->options.timeline;
	session->timeline_ns = timeline_now(timeline);
	if (!error && locked)
		error = target_lock(session->target, session->options.wait);
	timeline_span(timeline, 0, session->timeline_ns, "lock", NULL, 0);
	session->began_ns = now_ns();
	session->deadline_ns = session->began_ns + session->options.timeout_ms * 1000000ull;
	if (!error)
		error = maps_read(session->target, &session->maps);
	if (!error)
		error = modules_open(session->target, &session->maps, &session->modules);
	if (!error)
		error = registry_read(session->target, &session->maps, &session->registry);
	timeline_span(timeline, 0, session->began_ns, "read", NULL, 0);
	if (error) {
		session_close(session);
		return error;
	}
	*ret = session;
	return NULL;
}

struct usp_error *session_open_registry(struct usp_process *process, struct session **ret)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return &usp_error_no_memory;
	session->target = process->target;
	struct usp_error *error = maps_read(session->target, &session->maps);
	if (!error)
		error = registry_read(session->target, &session->maps, &session->registry);
	if (error) {
		session_close(session);
		return error;
	}
	*ret = session;
	return NULL;
}

void session_close(struct session *session)
{
	if (!session)
		return;
	registry_destroy(session->registry);
	modules_close(session->modules);
	maps_deinit(&session->maps);
	target_unlock(session->target);
	timeline_span(session->target->timeline, 0, session->timeline_ns, "action", NULL, 0);
	session->target->timeline = NULL;
	free(session);
}

struct usp_error *session_reason(const struct target *target, struct usp_error *error)
{
	if (!error || error->code == USP_GONE || (target_alive(target) && !target_executed(target)))
		return error;
	usp_error_destroy(error);
	return usp_errorf(USP_GONE, "process %d (%s) %s meanwhile", target->pid, target->name,
			  target_alive(target) ? "executed another program" : "exited");
}

struct usp_error *session_refresh_maps(struct session *session)
{
	struct maps maps = {0};
	struct usp_error *error = maps_read(session->target, &maps);
	if (error)
		return error;
	maps_deinit(&session->maps);
	session->maps = maps;
	return NULL;
}

struct usp_error *session_need_registry(struct session *session, struct remote *remote,
					const struct remote_area *area)
{
	if (session->registry->address)
		return NULL;
	struct usp_error *error = registry_create(session->target, remote, area, session->registry);
	return error ? error : session_refresh_maps(session);
}

void session_log(const struct session *session, enum usp_log_level level, const char *payload,
		 const char *format, ...)
{
	if (!session->options.log)
		return;
	_cleanup_free_ char *text = NULL, *line = NULL;
	va_list ap;
	va_start(ap, format);
	int n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return;
	}
	if (asprintf(&line, "%s: %s", payload, text) < 0) {
		line = NULL;
		return;
	}
	session->options.log(session->options.log_context, level, line);
}
