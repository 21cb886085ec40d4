// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/scan/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "process/session.h"

#define PAGE	   UINT64_C(4096)
#define CHUNK	   (1u << 18)	       /* what of a processor's cache is its own holds it */
#define STRETCH	   (UINT64_C(1) << 36) /* of empty memory, between two looks at the clock */
#define OWN_PREFIX "/memfd:usplice"    /* registry, remote area, net */

struct reader {
	struct scan *scan;
	struct scan_pages pages;
	uint64_t *buffer;
};

void scan_describe_mapping(const struct mapping *mapping, char *buf, size_t size)
{
	snprintf(buf, size, "%.200s (0x%" PRIx64 "-0x%" PRIx64 ")",
		 *mapping->name ? mapping->name : "anonymous memory", mapping->start, mapping->end);
	for (char *c = buf; *c; c++) /* a name is the target's, or anybody's */
		if (*c < ' ' || *c == 127)
			*c = '?';
}

static struct usp_error *cannot_look(const struct mapping *mapping, uint64_t at, const char *why)
{
	char name[300];
	scan_describe_mapping(mapping, name, sizeof(name));
	return usp_errorf(USP_NOT_QUIESCENT,
			  "the memory at 0x%" PRIx64
			  ", in %s, could not be looked at (%s), so it is not known "
			  "whether a suspended coroutine needs the code that is going away; nothing was "
			  "changed. Without --scan all it is not looked for",
			  at, name, why);
}

static struct usp_error *too_late(const struct scan *scan)
{
	return usp_errorf(USP_NOT_QUIESCENT,
			  "looking through the memory of process %d took too long (%" PRIu64
			  " MB were read); nothing was changed. Allow more with %s",
			  scan->target->pid, scan->bytes / 1000000,
			  scan->tolerant ? "--timeout" : "--scan-limit");
}

/* Pages of a file mapping that lie behind the file's last page do not exist: no one can have written there.
 */
static bool beyond_end(const struct target *target, const struct mapping *m, uint64_t at)
{
	struct stat st;
	if (!m->inode)
		return false;
	_cleanup_close_ int fd =
		target_openat(target, O_PATH, "map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != m->inode || st.st_size < 0)
		return false;
	return m->offset + (at - m->start) >= (((uint64_t)st.st_size + PAGE - 1) & ~(PAGE - 1));
}

/*
 * process_vm_readv(), because it never reads a device: the kernel refuses where there is no page behind an
 * address. What the program itself may not read, it refuses, too; that is left for /proc/PID/mem, for
 * mappings that are known to be none of a device's.
 */
static ssize_t read_some(const struct reader *reader, const struct mapping *m, uint64_t at, size_t n)
{
	const struct scan *scan = reader->scan;
	struct iovec local = {reader->buffer, n}, remote = {(void *)(uintptr_t)at, n};
	if (m->prot & PROT_READ)
		return process_vm_readv(scan->tid, &local, 1, &remote, 1, 0);
	int r = target_read(scan->target, at, reader->buffer, n);
	if (r < 0 && n > PAGE)
		r = target_read(scan->target, at, reader->buffer, n = PAGE);
	errno = -r;
	return r < 0 ? -1 : (ssize_t)n;
}

/* *go_on_at: behind what was done. */
static struct usp_error *look_at_chunk(struct reader *reader, const struct mapping *m, uint64_t at,
				       uint64_t end, uint64_t *go_on_at)
{
	struct scan *scan = reader->scan;
	ssize_t n = read_some(reader, m, at, end - at < CHUNK ? (size_t)(end - at) : CHUNK);
	if (n >= 8) {
		scan_words(scan->set, reader->buffer, (size_t)n / 8, at, &scan->hits);
		scan->bytes += (uint64_t)n;
		*go_on_at = at + ((uint64_t)n & ~7ull);
		return NULL;
	}
	int error = errno;
	*go_on_at = end;
	if (scan->tolerant)
		return NULL;
	if (error == ESRCH)
		return usp_errorf(USP_GONE, "process %d has no memory any more", scan->target->pid);
	if (beyond_end(scan->target, m, at)) /* and so is all that follows */
		return NULL;
	return cannot_look(m, at, strerror(error));
}

static struct usp_error *look_at_range(struct reader *reader, const struct mapping *m, uint64_t start,
				       uint64_t end)
{
	struct usp_error *error = NULL;
	while (start < end && !error) {
		if (now_ns() > reader->scan->deadline_ns)
			return too_late(reader->scan);
		error = look_at_chunk(reader, m, start, end, &start);
	}
	return error;
}

/* The parts of [start, end) that exist. */
static struct usp_error *look_at_pages(struct reader *reader, size_t i, uint64_t start, uint64_t end)
{
	const struct mapping *m = &reader->scan->maps.maps.v[i];
	if (!scan_maps_starts_empty(&reader->scan->maps, i))
		return look_at_range(reader, m, start, end);
	/* Looked up a stretch at a time, so that the deadline counts in vast empty mappings, too. */
	struct usp_error *error = NULL;
	for (uint64_t at = start & ~(PAGE - 1); at < end && !error;) {
		uint64_t stop = end - at > STRETCH ? at + STRETCH : (end + PAGE - 1) & ~(PAGE - 1);
		struct range run = scan_pages_next(&reader->pages, at, stop);
		uint64_t from = run.start > start ? run.start : start, to = run.end < end ? run.end : end;
		at = run.end;
		if (now_ns() > reader->scan->deadline_ns)
			return too_late(reader->scan);
		if (run.start < run.end)
			error = look_at_range(reader, m, from, to);
	}
	return error;
}

static struct usp_error *look_at_mapping(struct reader *reader, size_t i)
{
	const struct scan *scan = reader->scan;
	const struct mapping *m = &scan->maps.maps.v[i];
	uint8_t flags = scan->maps.flags[i];
	if (!(m->prot & PROT_WRITE) || (flags & SCAN_FLAG_DEVICE) ||
	    !strncmp(m->name, OWN_PREFIX, sizeof(OWN_PREFIX) - 1))
		return NULL;
	if (flags & SCAN_FLAG_USERFAULT)
		return scan->tolerant ? NULL
				      : cannot_look(m, m->start,
						    "a userfaultfd handler serves its pages, and may be one "
						    "of those that are stopped");
	uint64_t at = m->start;
	struct usp_error *error = NULL;
	for (size_t k = 0; scan->skip && k < scan->skip->n && !error; k++) {
		const struct range *skip = &scan->skip->v[k];
		if (skip->end <= at || skip->start >= m->end)
			continue;
		if (skip->start > at)
			error = look_at_pages(reader, i, at, skip->start);
		at = skip->end;
	}
	return error || at >= m->end ? error : look_at_pages(reader, i, at, m->end);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

struct usp_error *scan_run(struct scan *scan)
{
	struct reader reader = {.scan = scan, .pages = {.fd = -1}};
	uint64_t began_ns = now_ns(), began_cpu_ns = cpu_ns();
	struct usp_error *error = NULL;
	reader.buffer = aligned_alloc(PAGE, CHUNK);
	if (!reader.buffer)
		error = &usp_error_no_memory;
	if (!error)
		error = scan_pages_open(scan->target, &reader.pages);
	for (size_t i = 0; !error && i < scan->maps.maps.n; i++)
		error = look_at_mapping(&reader, i);
	scan_pages_close(&reader.pages);
	free(reader.buffer);
	scan->ns = now_ns() - began_ns;
	scan->cpu_ns = cpu_ns() - began_cpu_ns;
	return error;
}

bool scan_still_hits(const struct scan_hits *hits, const struct target *target)
{
	for (size_t i = 0; i < hits->n; i++) {
		uint64_t word;
		if (target_read(target, hits->v[i].at, &word, sizeof(word)) == 0 && word == hits->v[i].word)
			return true;
	}
	return false;
}
