/* SPDX-License-Identifier: MIT */
/*
 * The thread in which an action traces its target. A running tracee can be let go without being stopped in
 * one way only: its tracer ends. So each action by gate has a thread of the controller's to itself, and is
 * over when that thread is.
 */
#ifndef PROCESS_TRACER_H
#define PROCESS_TRACER_H

#include "process/host/host.h"

typedef int engine_action(struct engine *engine, struct engine_payload *payload,
			  const struct action_options *options, struct action_report *report);

/* Runs the action, by gate in a thread of its own. When it returns nobody is traced any more. The action's
 * result; -CORE_EIO with host->error set when there can be no such thread (report as of an action that failed
 * before it began). */
int tracer_run(struct host *host, engine_action *action, struct engine_payload *payload,
	       const struct action_options *options, struct action_report *report);

#endif
