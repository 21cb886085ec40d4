// SPDX-License-Identifier: MIT
#include "process/timeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"

#define CAPACITY_FIRST 1024

struct usp_timeline {
	struct usp_timeline_event *events;
	size_t n_events, events_capacity, events_max;
	struct usp_timeline_thread *threads;
	size_t n_threads, threads_capacity;
	uint64_t dropped;
};

struct usp_error *usp_timeline_create(struct usp_timeline **ret)
{
	struct usp_timeline *timeline = calloc(1, sizeof(*timeline));
	if (!timeline)
		return &usp_error_no_memory;
	timeline->events_max = TIMELINE_EVENTS_MAX;
	*ret = timeline;
	return NULL;
}

void usp_timeline_destroy(struct usp_timeline *timeline)
{
	if (!timeline)
		return;
	for (size_t i = 0; i < timeline->n_events; i++)
		free((char *)timeline->events[i].detail);
	free(timeline->events);
	free(timeline->threads);
	free(timeline);
}

const struct usp_timeline_event *usp_timeline_events(const struct usp_timeline *timeline, size_t *n)
{
	*n = timeline->n_events;
	return timeline->events;
}

const struct usp_timeline_thread *usp_timeline_threads(const struct usp_timeline *timeline, size_t *n)
{
	*n = timeline->n_threads;
	return timeline->threads;
}

uint64_t usp_timeline_dropped(const struct usp_timeline *timeline)
{
	return timeline->dropped;
}

uint64_t timeline_clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* v with room for one more of size bytes; NULL: there is no memory, and v is as it was. */
static void *grow(void *v, size_t n, size_t *capacity, size_t size)
{
	if (n < *capacity)
		return v;
	size_t wanted = *capacity ? 2 * *capacity : CAPACITY_FIRST;
	void *more = reallocarray(v, wanted, size);
	if (more)
		*capacity = wanted;
	return more;
}

void timeline_put(struct usp_timeline *timeline, pid_t tid, uint64_t begin_ns, uint64_t end_ns, bool moment,
		  const char *name, const char *detail, uint64_t number)
{
	char *copy = NULL;
	struct usp_timeline_event *events = NULL;
	if (timeline->n_events < timeline->events_max)
		events = grow(timeline->events, timeline->n_events, &timeline->events_capacity,
			      sizeof(*events));
	if (events)
		timeline->events = events;
	if (!events || (detail && !(copy = strdup(detail)))) {
		timeline->dropped++;
		return;
	}
	timeline->events[timeline->n_events++] = (struct usp_timeline_event){
		.begin_ns = begin_ns,
		.end_ns = moment || end_ns < begin_ns ? begin_ns : end_ns,
		.tid = tid,
		.moment = moment,
		.name = name,
		.detail = copy,
		.number = number,
	};
}

void timeline_put_thread(struct usp_timeline *timeline, pid_t tid, const char *name)
{
	struct usp_timeline_thread *threads = NULL;
	if (timeline->n_threads < timeline->events_max)
		threads = grow(timeline->threads, timeline->n_threads, &timeline->threads_capacity,
			       sizeof(*threads));
	if (!threads) {
		timeline->dropped++;
		return;
	}
	timeline->threads = threads;
	struct usp_timeline_thread *thread = &threads[timeline->n_threads++];
	*thread = (struct usp_timeline_thread){.tid = tid};
	memcpy(thread->name, name, strnlen(name, sizeof(thread->name) - 1));
}

void timeline_put_blocker(struct usp_timeline *timeline, pid_t tid, const char *name, const char *why)
{
	uint64_t now_ns = timeline_clock_ns();
	timeline_put(timeline, tid, now_ns, 0, true, "inside", why, 0);
	timeline_put(timeline, 0, now_ns, 0, true, "blocked by", name, (uint64_t)tid);
}

void timeline_limit(struct usp_timeline *timeline, size_t events_max)
{
	timeline->events_max = events_max;
}
