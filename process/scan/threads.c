// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/scan/threads.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "process/proc_stat.h"
#include "process/stack/scan.h"

#define THREAD_BLOCK 2560 /* bytes of the C library's thread structure, which begins at %fs */
#define ABOVE_MAX    8192 /* from there to the stack block's end: that structure, and what belongs to it */
#define BLOCK_MIN    2048

/*
 * The C libraries note a stack's lowest address and size, one after the other, in the thread structure: glibc
 * as stackblock and stackblock_size, musl as map_base and map_size. A pair of words that fits, with the
 * structure itself at the block's end, is taken for it; the smallest one, should there be two.
 */
static uint64_t block_start(const struct target *target, const struct mapping *mapping,
			    const struct user_regs_struct *r)
{
	uint64_t words[THREAD_BLOCK / 8], fs = r->fs_base, found = 0;
	if (fs % 8 || fs < mapping->start || fs >= mapping->end)
		return 0;
	size_t size = mapping->end - fs < sizeof(words) ? (size_t)(mapping->end - fs) : sizeof(words);
	if (target_read(target, fs, words, size) < 0)
		return 0;
	for (size_t i = 0; i + 1 < size / 8; i++) {
		uint64_t start = words[i], end = start + words[i + 1];
		if (words[i + 1] < BLOCK_MIN || end < start || start > r->rsp || end <= fs ||
		    end > mapping->end || end - fs > ABOVE_MAX)
			continue;
		if (start > found)
			found = start;
	}
	return found;
}

struct range scan_dead_part(const struct target *target, const struct maps *maps, const struct thread *thread)
{
	static const struct range none;
	const struct user_regs_struct *r = &thread->registers;
	const struct mapping *mapping = maps_find(maps, r->rsp);
	if (!mapping || !thread->has_registers)
		return none;
	uint64_t start = 0;
	if (!strcmp(mapping->name, "[stack]"))
		start = thread->tid == target->pid ? mapping->start : 0;
	else if (r->rsp < r->fs_base)
		start = block_start(target, mapping, r);
	if (!start)
		return none;
	/* The guard lies in the block and not in the mapping. */
	return (struct range){start > mapping->start ? (start + 7) & ~7ull : mapping->start, r->rsp & ~7ull};
}

/* ---- with everybody running ---- */

static int add_mapping(const struct maps *maps, uint64_t address, struct range_set *set)
{
	const struct mapping *mapping = address ? maps_find(maps, address) : NULL;
	return mapping ? range_set_add(set, mapping->start, mapping->end) : 0;
}

/* 0: it runs. */
static uint64_t stack_pointer(const struct target *target, pid_t tid)
{
	char text[512];
	_cleanup_close_ int fd = target_openat(target, O_RDONLY, "task/%d/syscall", tid);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n <= 0)
		return 0;
	text[n] = 0;
	char *end = strrchr(text, ' ');
	if (!end)
		return 0;
	*end = 0;
	char *before = strrchr(text, ' ');
	return before ? strtoull(before + 1, NULL, 16) : 0;
}

/* Where the C library has registered the list of robust mutexes: in the thread structure, at the stack's end.
 */
static uint64_t thread_structure(pid_t tid)
{
	void *head = NULL;
	size_t length;
	return syscall(SYS_get_robust_list, tid, &head, &length) == 0 ? (uint64_t)(uintptr_t)head : 0;
}

static int add_thread(const struct target *target, const struct maps *maps, pid_t tid, struct range_set *set,
		      bool *complete)
{
	uint64_t sp = stack_pointer(target, tid);
	uint64_t own = tid == target->pid ? 0 : thread_structure(tid);
	if (!sp && !own && tid != target->pid)
		*complete = false;
	int r = add_mapping(maps, sp, set);
	return r < 0 ? r : add_mapping(maps, own, set);
}

struct usp_error *scan_stack_mappings(const struct target *target, const struct maps *maps,
				      struct range_set *set, bool *complete, pid_t *tid)
{
	*complete = true;
	*tid = 0;
	int r = 0, fd = target_openat(target, O_RDONLY | O_DIRECTORY, "task");
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		r = fd < 0 ? -fd : errno;
		if (fd >= 0)
			close(fd);
		return usp_error_errno(USP_FAILED, r, "cannot list the threads of process %d", target->pid);
	}
	for (size_t i = 0; i < maps->n && r == 0; i++)
		if (!strcmp(maps->v[i].name, "[stack]"))
			r = range_set_add(set, maps->v[i].start, maps->v[i].end);
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		char path[280];
		struct proc_stat stat;
		snprintf(path, sizeof(path), "%s/stat", entry->d_name);
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    proc_stat_read(target->taskfd, path, &stat) < 0 || stat.state == 'Z' || stat.state == 'X')
			continue;
		*tid = atoi(entry->d_name);
		r = add_thread(target, maps, *tid, set, complete);
	}
	closedir(dir);
	range_set_seal(set);
	return r < 0 ? &usp_error_no_memory : NULL;
}
