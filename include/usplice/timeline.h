/* SPDX-License-Identifier: MIT */
/*
 * What happened in an action, and when: its phases, and what became of each thread of the target meanwhile.
 * For whoever wants to look at an action (usplice --timeline shows it to trace viewers) or to measure one.
 *
 *     struct usp_timeline *timeline;
 *     struct usp_error *error = usp_timeline_create(&timeline);
 *     options.timeline = timeline;      and then usp_apply(), usp_load(), …
 *
 * It is kept in memory, costs nothing where it is not asked for, and never makes an action fail. One timeline
 * is used by one action at a time; several actions one after the other may be written into one.
 */
#ifndef USPLICE_TIMELINE_H
#define USPLICE_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <usplice/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct usp_timeline;

struct usp_timeline_event {
	uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
	pid_t tid;		   /* the thread of the target that it is about; 0: the action itself */
	bool moment;		   /* it has no length: end_ns is begin_ns */
	const char *name;	   /* usp_timeline_create(3) lists them */
	const char *detail;	   /* a function, a verdict, a backtrace (several lines), …; or NULL */
	uint64_t number;	   /* what it means depends on the name; 0 where there is nothing to say */
};

struct usp_timeline_thread {
	pid_t tid;
	char name[16]; /* comm */
};

USP_API struct usp_error *usp_timeline_create(struct usp_timeline **timeline);
USP_API void usp_timeline_destroy(struct usp_timeline *timeline); /* NULL is fine */

/*
 * What is written so far, valid until the next action or usp_timeline_destroy(). Events are in the order of
 * their ends; those of one thread, and those of the action, lie in one another or apart, and never overlap
 * otherwise.
 */
USP_API const struct usp_timeline_event *usp_timeline_events(const struct usp_timeline *timeline, size_t *n);
/* The threads that were met, in that order. An id may be there several times: the last name counts. */
USP_API const struct usp_timeline_thread *usp_timeline_threads(const struct usp_timeline *timeline,
							       size_t *n);
/* How many events were not kept: there was no memory, or more than a million came. */
USP_API uint64_t usp_timeline_dropped(const struct usp_timeline *timeline);

#ifdef __cplusplus
}
#endif
#endif
