// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/tracer.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "process/timeline.h"

struct job {
	struct host *host;
	engine_action *action;
	struct engine_payload *payload;
	const struct action_options *options;
	struct action_report *report;
	int result;
	pid_t tid;
	uint64_t end_ns; /* on the timeline */
};

static void *run(void *argument)
{
	struct job *job = argument;
	job->tid = (pid_t)syscall(SYS_gettid);
	job->result = job->action(&job->host->engine, job->payload, job->options, job->report);
	job->end_ns = timeline_now(job->host->session->target->timeline);
	return NULL;
}

/* pthread_join() returns a little before the kernel has let the tracees go; the thread's entry in /proc goes
 * after that. */
static void wait_for_end(pid_t tid)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
	while (access(path, F_OK) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

int tracer_run(struct host *host, engine_action *action, struct engine_payload *payload,
	       const struct action_options *options, struct action_report *report)
{
	struct job job = {host, action, payload, options, report, 0, 0, 0};
	pthread_t thread;
	sigset_t all, before;
	if (options->mode != ACTION_MODE_GATE) {
		run(&job);
		return job.result;
	}
	/* The program's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&thread, NULL, run, &job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r) {
		*report = (struct action_report){
			.error = -CORE_EIO, .reason = ACTION_HOST, .payload = payload, .site = POKE_NO_SITE};
		usp_error_destroy(host->error);
		host->error = usp_error_errno(USP_FAILED, r, "no thread to trace the target with");
		return -CORE_EIO;
	}
	pthread_join(thread, NULL);
	wait_for_end(job.tid);
	timeline_span(host->session->target->timeline, 0, job.end_ns, "tracer's end", NULL, 0);
	return job.result;
}
