// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/scan/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#define PAGE	      UINT64_C(4096)
#define SMAPS_MAX     (UINT64_C(512) << 20)
#define PAGES_AT_ONCE 8192 /* 32 MiB of memory */
#define TRIES	      5

#define HOLE_MIN (UINT64_C(16) << 20) /* smaller ones are counted */

#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)
#define PAGE_GUARD   (UINT64_C(1) << 58) /* MADV_GUARD_INSTALL: cannot be touched, holds nothing */

/* ---- smaps ---- */

static uint8_t flags_of(const char *at, const char *end)
{
	uint8_t flags = 0;
	for (; at + 2 <= end; at++) {
		if (*at == ' ')
			continue;
		if (!memcmp(at, "io", 2) || !memcmp(at, "pf", 2))
			flags |= SCAN_FLAG_DEVICE;
		else if (!memcmp(at, "um", 2) || !memcmp(at, "ui", 2))
			flags |= SCAN_FLAG_USERFAULT;
		else if (!memcmp(at, "ht", 2))
			flags |= SCAN_FLAG_HUGE;
		at++;
	}
	return flags;
}

/* A mapping's first line is one of maps, and begins with a digit or a small letter; those that follow begin
 * with a capital. */
int scan_maps_parse(const char *text, size_t size, struct scan_maps *ret)
{
	static const char flags_line[] = "VmFlags:";
	*ret = (struct scan_maps){0};
	_cleanup_free_ char *heads = malloc(size + 1);
	_cleanup_free_ uint8_t *flags = calloc(size / 64 + 2, 1);
	size_t n = 0, n_heads = 0, n_flags = 0;
	if (!heads || !flags)
		return -ENOMEM;
	for (const char *line = text, *end = text + size; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t length = newline ? (size_t)(newline - line) : (size_t)(end - line);
		if (*line < 'A' || *line > 'Z') {
			if (n_heads != n_flags || !newline)
				return -EBADMSG;
			memcpy(heads + n, line, length + 1);
			n += length + 1;
			n_heads++;
		} else if (length >= sizeof(flags_line) - 1 &&
			   !memcmp(line, flags_line, sizeof(flags_line) - 1)) {
			if (n_heads != n_flags + 1 || n_flags > size / 64)
				return -EBADMSG;
			flags[n_flags++] = flags_of(line + sizeof(flags_line) - 1, line + length);
		}
		line += length + 1;
	}
	if (n_heads != n_flags)
		return -EBADMSG;
	int r = maps_parse(heads, n, &ret->maps);
	if (r < 0)
		return r;
	if (ret->maps.n != n_flags) {
		maps_deinit(&ret->maps);
		return -EBADMSG;
	}
	ret->flags = flags;
	flags = NULL;
	return 0;
}

static int read_all(int fd, char **ret, size_t *ret_size)
{
	size_t size = 0, capacity = 1u << 20;
	_cleanup_free_ char *text = malloc(capacity);
	if (!text)
		return -ENOMEM;
	for (;;) {
		if (size == capacity) {
			char *more = capacity < SMAPS_MAX ? realloc(text, 2 * capacity) : NULL;
			if (!more)
				return -ENOMEM;
			text = more;
			capacity *= 2;
		}
		ssize_t n = read(fd, text + size, capacity - size);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		size += n > 0 ? (size_t)n : 0;
	}
	*ret = text;
	*ret_size = size;
	text = NULL;
	return 0;
}

static int read_once(const struct target *target, struct scan_maps *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	_cleanup_close_ int fd = target_openat(target, O_RDONLY, "smaps");
	int r = fd < 0 ? fd : read_all(fd, &text, &size);
	if (r == 0)
		r = size ? scan_maps_parse(text, size, ret) : -ESRCH;
	return r;
}

struct usp_error *scan_maps_read(const struct target *target, struct scan_maps *ret)
{
	int r = -EBADMSG;
	*ret = (struct scan_maps){0};
	/* While the process runs, mappings that merge may show twice. */
	for (int i = 0; i < TRIES && r == -EBADMSG; i++)
		r = read_once(target, ret);
	if (r == 0)
		return NULL;
	if (r == -ENOMEM)
		return &usp_error_no_memory;
	if (r == -ESRCH)
		return usp_errorf(USP_GONE, "process %d has no memory any more", target->pid);
	return usp_error_errno(r == -ENOENT || r == -EBADMSG ? USP_UNSUPPORTED : USP_FAILED, -r,
			       "--scan all needs to know what kind of memory process %d has, and "
			       "/proc/%d/smaps does not tell",
			       target->pid, target->pid);
}

void scan_maps_deinit(struct scan_maps *maps)
{
	maps_deinit(&maps->maps);
	free(maps->flags);
	*maps = (struct scan_maps){0};
}

/* A page of a file, or of shared memory, may exist and not be in this process' tables. */
bool scan_maps_starts_empty(const struct scan_maps *maps, size_t i)
{
	static const char huge[] = "/anon_hugepage";
	const struct mapping *m = &maps->maps.v[i];
	if (m->shared)
		return false;
	return !m->inode || ((maps->flags[i] & SCAN_FLAG_HUGE) && !strncmp(m->name, huge, sizeof(huge) - 1));
}

/* ---- pagemap ---- */

struct usp_error *scan_pages_open(const struct target *target, struct scan_pages *ret)
{
	*ret = (struct scan_pages){.fd = -1};
	ret->entry = calloc(PAGES_AT_ONCE, sizeof(*ret->entry));
	if (!ret->entry)
		return &usp_error_no_memory;
	ret->fd = target_openat(target, O_RDONLY, "pagemap");
	return NULL;
}

void scan_pages_close(struct scan_pages *pages)
{
	cleanup_closep(&pages->fd);
	free(pages->entry);
	*pages = (struct scan_pages){.fd = -1};
}

/* PAGEMAP_SCAN of <linux/fs.h>, since Linux 6.7; the headers may be older. */
struct pagemap_region {
	uint64_t start, end, categories;
};
struct pagemap_scan {
	uint64_t size, flags, start, end, walk_end, regions, n_regions, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define IOCTL_PAGEMAP_SCAN _IOWR('f', 16, struct pagemap_scan)
#define CATEGORY_PRESENT   (UINT64_C(1) << 3)
#define CATEGORY_SWAPPED   (UINT64_C(1) << 4)

/* Where the first page that exists may be, from start on: a reservation of terabytes is passed in one step.
 */
static uint64_t pass_hole(const struct scan_pages *pages, uint64_t start, uint64_t end)
{
	struct pagemap_region region;
	struct pagemap_scan arg = {.size = sizeof(arg),
				   .start = start,
				   .end = end,
				   .regions = (uintptr_t)&region,
				   .n_regions = 1,
				   .max_pages = 1,
				   .category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED,
				   .return_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED};
	int n = ioctl(pages->fd, IOCTL_PAGEMAP_SCAN, &arg);
	if (n < 0) /* an older kernel: page by page, then */
		return start;
	return n > 0 ? region.start : arg.walk_end;
}

/* Fewer than asked for is fine. Not readable: as if all existed. */
static void fill(struct scan_pages *pages, uint64_t start, uint64_t end)
{
	size_t n = (size_t)((end - start) / PAGE);
	n = n < PAGES_AT_ONCE ? n : PAGES_AT_ONCE;
	ssize_t r = pages->fd < 0 ? -1
				  : pread(pages->fd, pages->entry, n * sizeof(*pages->entry),
					  (off_t)(start / PAGE * sizeof(*pages->entry)));
	if (r < (ssize_t)sizeof(*pages->entry)) {
		for (size_t i = 0; i < n; i++)
			pages->entry[i] = PAGE_PRESENT;
	} else {
		n = (size_t)r / sizeof(*pages->entry);
	}
	pages->start = start;
	pages->end = start + n * PAGE;
}

static bool exists(struct scan_pages *pages, uint64_t at, uint64_t end)
{
	if (at < pages->start || at >= pages->end)
		fill(pages, at, end);
	uint64_t entry = pages->entry[(at - pages->start) / PAGE];
	return (entry & (PAGE_PRESENT | PAGE_SWAPPED)) && !(entry & PAGE_GUARD);
}

struct range scan_pages_next(struct scan_pages *pages, uint64_t start, uint64_t end)
{
	for (uint64_t passed = 0; start < end && !exists(pages, start, end);) {
		start += PAGE;
		passed += PAGE;
		if (passed == HOLE_MIN && start < end) {
			start = pass_hole(pages, start, end);
			passed = 0;
		}
	}
	uint64_t stop = start;
	while (stop < end && exists(pages, stop, end))
		stop += PAGE;
	return (struct range){start, stop};
}
