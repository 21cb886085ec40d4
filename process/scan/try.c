// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/scan/try.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "process/host/host.h"
#include "process/scan/threads.h"
#include "process/timeline.h"

#define APART_NS 2000000 /* between the two looks at a word, with everybody running */

/* ---- what is looked for ---- */

static bool call_before(const struct host *host, uint64_t address)
{
	uint8_t bytes[SCAN_CALL_MAX];
	bool known = target_read(host->session->target, address - sizeof(bytes), bytes, sizeof(bytes)) == 0;
	return scan_call_ends(bytes, known ? sizeof(bytes) : 0);
}

/* Addresses of a payload's functions are kept by the unwinder, by tables, by whoever was given one. */
static int add_entries(const struct host *host, struct scan_set *set)
{
	for (size_t i = 0; i < host->n_payloads; i++) {
		const struct record *record = host->payloads[i].record;
		for (size_t k = 0; k < record->n_code; k++) {
			uint64_t entry = record->code[k].address;
			if (entry != record->text_start && call_before(host, entry))
				continue;
			if (scan_set_add_entry(set, entry) < 0)
				return -1;
		}
	}
	return 0;
}

static void forget(struct scan_try *scan)
{
	scan_set_deinit(&scan->set);
	free(scan->ranges);
	scan->ranges = NULL;
	scan->n_ranges = 0;
	scan->settled = false;
}

static struct usp_error *settle(struct host *host, const struct host_range *ranges, size_t n)
{
	struct scan_try *scan = &host->scan;
	if (scan->settled && scan->n_ranges == n && !memcmp(scan->ranges, ranges, n * sizeof(*ranges)))
		return NULL;
	forget(scan);
	scan->ranges = calloc(n + 1, sizeof(*ranges));
	if (!scan->ranges)
		return &usp_error_no_memory;
	memcpy(scan->ranges, ranges, n * sizeof(*ranges));
	scan->n_ranges = n;
	for (size_t i = 0; i < n; i++)
		if (scan_set_add(&scan->set, ranges[i].start, ranges[i].end,
				 call_before(host, ranges[i].end)) < 0)
			return &usp_error_no_memory;
	if (add_entries(host, &scan->set) < 0)
		return &usp_error_no_memory;
	scan_set_seal(&scan->set);
	scan->settled = true;
	return NULL;
}

void scan_try_deinit(struct scan_try *scan)
{
	forget(scan);
	free(scan->found);
	scan->found = NULL;
}

/* ---- what is not looked at ---- */

/* The records, which lie behind the images, hold the very addresses that are looked for. */
static int skip_records(const struct host *host, struct range_set *skip)
{
	const struct registry *registry = host->session->registry;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++) {
		const struct record *record = registry->records[i];
		if (record && range_set_add(skip, record->image_base + record->image_size + record->pads_size,
					    registry->entries[i].base + registry->entries[i].size) < 0)
			return -1;
	}
	return 0;
}

/* ---- what is told ---- */

static void name_place(const struct host *host, uint64_t word, char *buf, size_t size)
{
	snprintf(buf, size, "code that is going away");
	for (size_t i = 0; i < host->n_payloads; i++) {
		const struct record *record = host->payloads[i].record;
		for (size_t k = 0; k < record->n_functions; k++) {
			const struct record_function *f = &record->functions[k];
			for (size_t j = 0; j < f->n_ranges; j++)
				if (word >= f->ranges[j].start && word <= f->ranges[j].end) {
					snprintf(buf, size, "%.100s%s", f->name,
						 word < f->old_address || word > f->old_address + f->old_size
							 ? " (a part of it that was split off)"
							 : "");
					return;
				}
		}
		for (size_t k = 0; k < record->n_code; k++)
			if (word >= record->code[k].address &&
			    word <= record->code[k].address + record->code[k].size) {
				snprintf(buf, size, "%.100s of payload %.64s", record->code[k].name,
					 record->name);
				return;
			}
	}
}

/* where: "in [heap] (…)". The numbers are the target's, the advice is the same whoever holds the word. */
static struct usp_error *tell(struct host *host, const char *where, uint64_t word, uint64_t total,
			      const char *when)
{
	char place[256];
	name_place(host, word, place, sizeof(place));
	free(host->scan.found);
	if (asprintf(&host->scan.found,
		     "the word %s is 0x%" PRIx64 ", in %s: a suspended coroutine may go on there (%" PRIu64
		     " such %s, %s)",
		     where, word, place, total, total == 1 ? "word" : "words", when) >= 0)
		return NULL;
	host->scan.found = NULL;
	return &usp_error_no_memory;
}

static struct usp_error *tell_hits(struct host *host, const struct scan *scan, const char *when)
{
	char name[300] = "memory that was unmapped since", where[360];
	const struct scan_hit *hit = &scan->hits.v[0];
	const struct mapping *mapping = maps_find(&scan->maps.maps, hit->at);
	if (mapping)
		scan_describe_mapping(mapping, name, sizeof(name));
	snprintf(where, sizeof(where), "at 0x%" PRIx64 " in %s", hit->at, name);
	return tell(host, where, hit->word, scan->hits.total, when);
}

static void log_speed(const struct host *host, const struct scan *scan, const char *when)
{
	session_log(host->session, USP_LOG_INFO, "scan",
		    "%.1f MB read in %.2f ms %s, %.1f GB/s: %" PRIu64 " %s", (double)scan->bytes / 1e6,
		    (double)scan->ns / 1e6, when, scan->ns ? (double)scan->bytes / (double)scan->ns : 0.0,
		    scan->hits.total, scan->hits.total == 1 ? "word" : "words");
}

/* ---- with everybody running ---- */

/* The engine's room for ranges begins all empty and is filled by the action's plan: before the first stop it
 * is all that tells them. Only this hint rests on it. */
static struct usp_error *settle_early(struct host *host)
{
	size_t n = host->engine.ranges_max;
	while (n && !host->room_ranges[n - 1].end)
		n--;
	return settle(host, host->room_ranges, n);
}

static struct usp_error *too_slow(const struct scan *scan)
{
	return usp_errorf(USP_NOT_QUIESCENT,
			  "looking through the memory of process %d (%" PRIu64 " MB) takes about %" PRIu64
			  " ms, and all threads would have to stand still for it: longer than is allowed; "
			  "nobody was stopped, nothing was changed. Allow more with --scan-limit",
			  scan->target->pid, scan->bytes / 1000000, scan->cpu_ns / 1000000 + 1);
}

static struct usp_error *judge_running(struct host *host, const struct scan *scan, bool complete, bool *found)
{
	log_speed(host, scan, "with all threads running");
	if (scan->cpu_ns > host->scan.limit_ns)
		return too_slow(scan);
	if (!scan->hits.n || !complete)
		return NULL;
	host->scan.before = scan->hits;
	nanosleep(&(struct timespec){.tv_nsec = APART_NS}, NULL);
	*found = scan_still_hits(&scan->hits, host->session->target);
	return *found ? tell_hits(host, scan, "seen twice, with all threads running") : NULL;
}

struct usp_error *scan_try_running(struct host *host, bool *found)
{
	struct range_set skip = {0};
	bool complete = false;
	struct scan scan = {.target = host->session->target,
			    .set = &host->scan.set,
			    .skip = &skip,
			    .deadline_ns = host->session->deadline_ns,
			    .tolerant = true};
	uint64_t began_ns = timeline_now(scan.target->timeline);
	*found = host->scan.found && host->scan.before.n &&
		 scan_still_hits(&host->scan.before, host->session->target);
	if (*found)
		return NULL; /* as the last time */
	free(host->scan.found);
	host->scan.found = NULL;
	host->scan.before = (struct scan_hits){0};
	struct usp_error *error = settle_early(host);
	if (!error)
		error = scan_maps_read(scan.target, &scan.maps);
	if (!error)
		error = scan_stack_mappings(scan.target, &scan.maps.maps, &skip, &complete, &scan.tid);
	if (!error && skip_records(host, &skip) < 0)
		error = &usp_error_no_memory;
	range_set_seal(&skip);
	if (!error)
		error = scan_run(&scan);
	timeline_span(scan.target->timeline, 0, began_ns, "scan", "all running", scan.bytes);
	if (!error)
		error = judge_running(host, &scan, complete, found);
	scan_maps_deinit(&scan.maps);
	range_set_deinit(&skip);
	return error;
}

/* ---- with everybody stopped ---- */

/* What a switch from one stack to another has loaded and not yet jumped to. */
static struct usp_error *look_at_registers(struct host *host, const struct thread *thread, bool *found)
{
	const struct user_regs_struct *r = &thread->registers;
	const uint64_t v[] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->r8,
			      r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		char where[80];
		if (!scan_set_has(&host->scan.set, v[i]))
			continue;
		*found = true;
		snprintf(where, sizeof(where), "in a register of thread %d (%.15s)", thread->tid,
			 thread->name);
		return tell(host, where, v[i], 1, "with all threads stopped");
	}
	return NULL;
}

static struct usp_error *look_at_threads(struct host *host, const struct maps *maps, struct range_set *skip,
					 pid_t *tid, bool *found)
{
	for (size_t i = 0; i < host->threads->n && !*found; i++) {
		const struct thread *thread = &host->threads->v[i];
		if (thread->state == THREAD_EXITED)
			continue;
		*tid = thread->tid;
		struct range dead = scan_dead_part(host->session->target, maps, thread);
		if (range_set_add(skip, dead.start, dead.end) < 0)
			return &usp_error_no_memory;
		struct usp_error *error = look_at_registers(host, thread, found);
		if (error)
			return error;
	}
	return NULL;
}

struct usp_error *scan_try_stopped(struct host *host, const struct host_range *ranges, size_t n, bool *found)
{
	struct range_set skip = {0};
	struct scan scan = {.target = host->session->target,
			    .set = &host->scan.set,
			    .skip = &skip,
			    .deadline_ns = now_ns() + host->scan.limit_ns};
	uint64_t began_ns = timeline_now(scan.target->timeline);
	*found = false;
	struct usp_error *error = settle(host, ranges, n);
	if (!error)
		error = scan_maps_read(scan.target, &scan.maps);
	if (!error)
		error = look_at_threads(host, &scan.maps.maps, &skip, &scan.tid, found);
	if (!error && skip_records(host, &skip) < 0)
		error = &usp_error_no_memory;
	range_set_seal(&skip);
	if (!error && !*found) {
		error = scan_run(&scan);
		if (!error)
			log_speed(host, &scan, "with all threads stopped");
	}
	timeline_span(scan.target->timeline, 0, began_ns, "scan", "all stopped", scan.bytes);
	if (!error && scan.hits.n) {
		*found = true;
		error = tell_hits(host, &scan, "with all threads stopped");
	}
	scan_maps_deinit(&scan.maps);
	range_set_deinit(&skip);
	return error;
}
