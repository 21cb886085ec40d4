/* SPDX-License-Identifier: MIT */
/*
 * Writing a timeline (usplice/timeline.h). A target has one while an action is under way that somebody wants
 * to see, else NULL; every call here takes NULL, does nothing then, and does not even read the clock. Nothing
 * here can fail for its caller: what finds no memory is counted. It knows neither files nor formats.
 *
 *     uint64_t began_ns = timeline_now(target->timeline);
 *     …
 *     timeline_span(target->timeline, 0, began_ns, "arm net", NULL, 0);
 */
#ifndef PROCESS_TIMELINE_H
#define PROCESS_TIMELINE_H

#include <usplice/timeline.h>

#define TIMELINE_EVENTS_MAX (1u << 20)

uint64_t timeline_clock_ns(void);

/* name: a constant. detail is copied; NULL is fine. moment: end_ns does not count. */
void timeline_put(struct usp_timeline *timeline, pid_t tid, uint64_t begin_ns, uint64_t end_ns, bool moment,
		  const char *name, const char *detail, uint64_t number);
void timeline_put_thread(struct usp_timeline *timeline, pid_t tid, const char *name);
void timeline_put_blocker(struct usp_timeline *timeline, pid_t tid, const char *name, const char *why);
/* For tests: no more than so many events. */
void timeline_limit(struct usp_timeline *timeline, size_t events_max);

static inline uint64_t timeline_now(const struct usp_timeline *timeline)
{
	return timeline ? timeline_clock_ns() : 0;
}

/* From begin_ns until now. */
static inline void timeline_span(struct usp_timeline *timeline, pid_t tid, uint64_t begin_ns,
				 const char *name, const char *detail, uint64_t number)
{
	if (timeline)
		timeline_put(timeline, tid, begin_ns, timeline_clock_ns(), false, name, detail, number);
}

static inline void timeline_moment(struct usp_timeline *timeline, pid_t tid, const char *name,
				   const char *detail, uint64_t number)
{
	if (timeline)
		timeline_put(timeline, tid, timeline_clock_ns(), 0, true, name, detail, number);
}

/* A try has ended with this thread inside: said on its track and on the action's. why: a backtrace, a reason.
 */
static inline void timeline_blocker(struct usp_timeline *timeline, pid_t tid, const char *name,
				    const char *why)
{
	if (timeline)
		timeline_put_blocker(timeline, tid, name, why);
}

/* A thread is met, or has another name now. */
static inline void timeline_thread(struct usp_timeline *timeline, pid_t tid, const char *name)
{
	if (timeline)
		timeline_put_thread(timeline, tid, name);
}

#endif
