// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#define PAGE UINT64_C(4096)
#define USER_END \
	(UINT64_C(0x7fffffffffff) & ~(PAGE - 1)) /* the last page of the lower half is never mapped */
#define MIN_ADDRESS    UINT64_C(65536)		 /* the usual mmap_min_addr */
#define STACK_ROOM     (UINT64_C(128) << 20) /* the kernel's own least distance of mmap areas from the stack */
#define HEAP_ROOM      (UINT64_C(1) << 30)
#define HEAP_ROOM_BARE (UINT64_C(64) << 20)
#define MAPS_TEXT_MAX  (UINT64_C(256) << 20) /* max_map_count lines of a few hundred bytes fit many times */

struct cursor {
	const char *at, *end;
};

static bool take(struct cursor *c, char what)
{
	if (c->at == c->end || *c->at != what)
		return false;
	c->at++;
	return true;
}

static int digit_value(char c, unsigned base)
{
	int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
	return value < (int)base ? value : -1;
}

/* At least one digit, no sign, no prefix, no overflow. */
static bool take_number(struct cursor *c, unsigned base, uint64_t *ret)
{
	uint64_t value = 0;
	const char *first = c->at;
	for (; c->at < c->end; c->at++) {
		int digit = digit_value(*c->at, base);
		if (digit < 0)
			break;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
	}
	*ret = value;
	return c->at > first;
}

static bool take_protection(struct cursor *c, struct mapping *mapping)
{
	static const struct {
		char yes, no;
		int prot;
	} bits[] = {{'r', '-', PROT_READ}, {'w', '-', PROT_WRITE}, {'x', '-', PROT_EXEC}};
	mapping->prot = 0;
	for (size_t i = 0; i < 3; i++) {
		if (take(c, bits[i].yes))
			mapping->prot |= bits[i].prot;
		else if (!take(c, bits[i].no))
			return false;
	}
	mapping->shared = c->at < c->end && *c->at == 's';
	return mapping->shared ? take(c, 's') : take(c, 'p');
}

/* The kernel escapes the newline alone; writes the name with its NUL at *names and advances that. */
static const char *take_name(struct cursor *c, char **names)
{
	char *name = *names, *out = name;
	while (c->at < c->end) {
		if (c->end - c->at >= 4 && memcmp(c->at, "\\012", 4) == 0) {
			*out++ = '\n';
			c->at += 4;
		} else {
			*out++ = *c->at++;
		}
	}
	*out++ = '\0';
	*names = out;
	return name;
}

/* One line without its newline: START-END PROT OFFSET MAJOR:MINOR INODE   NAME */
static bool parse_line(struct cursor *c, uint64_t above, struct mapping *mapping, char **names)
{
	uint64_t major_number, minor_number, inode;
	if (!take_number(c, 16, &mapping->start) || !take(c, '-') || !take_number(c, 16, &mapping->end) ||
	    !take(c, ' ') || !take_protection(c, mapping) || !take(c, ' ') ||
	    !take_number(c, 16, &mapping->offset) || !take(c, ' ') || !take_number(c, 16, &major_number) ||
	    !take(c, ':') || !take_number(c, 16, &minor_number) || !take(c, ' ') ||
	    !take_number(c, 10, &inode))
		return false;
	if (mapping->start >= mapping->end || mapping->start < above || mapping->start % PAGE ||
	    mapping->end % PAGE || major_number > UINT32_MAX || minor_number > UINT32_MAX)
		return false;
	mapping->device = makedev((unsigned)major_number, (unsigned)minor_number);
	mapping->inode = inode;
	if (c->at < c->end && *c->at != ' ')
		return false;
	while (take(c, ' '))
		;
	mapping->name = take_name(c, names);
	return true;
}

int maps_parse(const char *text, size_t n, struct maps *ret)
{
	*ret = (struct maps){0};
	if (memchr(text, '\0', n) || (n && text[n - 1] != '\n'))
		return -EBADMSG;
	size_t lines = 0;
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	/* A name with its NUL is never longer than its line with the newline. */
	struct maps maps = {.v = calloc(lines + 1, sizeof(*maps.v)), .names = malloc(n + 1)};
	if (!maps.v || !maps.names) {
		maps_deinit(&maps);
		return -ENOMEM;
	}
	char *names = maps.names;
	uint64_t above = 0;
	for (const char *line = text, *end = text + n; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		struct cursor c = {line, newline};
		struct mapping *mapping = &maps.v[maps.n];
		if (!parse_line(&c, above, mapping, &names)) {
			maps_deinit(&maps);
			return -EBADMSG;
		}
		above = mapping->end;
		maps.n++;
		line = newline + 1;
	}
	*ret = maps;
	return 0;
}

/* The whole of a proc file; its size is not known beforehand. */
static int read_all(int fd, char **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0, capacity = 0;
	for (;;) {
		if (n == capacity) {
			if (capacity >= MAPS_TEXT_MAX)
				return -EFBIG;
			capacity = capacity ? 2 * capacity : 65536;
			char *bigger = realloc(text, capacity);
			if (!bigger)
				return -ENOMEM;
			text = bigger;
		}
		ssize_t got = read(fd, text + n, capacity - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*ret = text;
	*ret_n = n;
	text = NULL;
	return 0;
}

struct usp_error *maps_read(const struct target *target, struct maps *ret)
{
	*ret = (struct maps){0};
	_cleanup_close_ int fd = openat(target->procfd, "maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot open the memory map of process %d",
				       (int)target->pid);
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int r = read_all(fd, &text, &n);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot read the memory map of process %d",
				       (int)target->pid);
	if (!n)
		return usp_errorf(USP_GONE, "process %d has no memory any more: it has exited",
				  (int)target->pid);
	r = maps_parse(text, n, ret);
	if (r == -ENOMEM)
		return &usp_error_no_memory;
	if (r < 0)
		return usp_errorf(USP_FAILED, "the memory map of process %d is not in the known form",
				  (int)target->pid);
	return NULL;
}

void maps_deinit(struct maps *maps)
{
	free(maps->v);
	free(maps->names);
	*maps = (struct maps){0};
}

const struct mapping *maps_find(const struct maps *maps, uint64_t address)
{
	size_t low = 0, high = maps->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (address < maps->v[middle].start)
			high = middle;
		else if (address >= maps->v[middle].end)
			low = middle + 1;
		else
			return &maps->v[middle];
	}
	return NULL;
}

/*
 * Where the program break grows from: the end of [heap], or as long as there is none, of the executable,
 * which is the lowest file. Taking room there would only make brk() fail, so this is a matter of good
 * manners.
 */
static uint64_t heap_end(const struct maps *maps)
{
	uint64_t end = 0;
	const struct mapping *lowest = NULL;
	for (size_t i = 0; i < maps->n; i++) {
		const struct mapping *m = &maps->v[i];
		if (strcmp(m->name, "[heap]") == 0)
			return m->end;
		if (!lowest && m->inode)
			lowest = m;
		if (lowest && (m->inode == lowest->inode || (!m->inode && !*m->name && m->start == end)))
			end = m->end;
	}
	return end;
}

static uint64_t lowest_address(void)
{
	char text[32];
	uint64_t value;
	_cleanup_close_ int fd = open("/proc/sys/vm/mmap_min_addr", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	struct cursor c = {text, text + (n > 0 ? n : 0)};
	if (!take_number(&c, 10, &value) || value > USER_END)
		return MIN_ADDRESS;
	value = (value + PAGE - 1) & ~(PAGE - 1);
	return value > MIN_ADDRESS ? value : MIN_ADDRESS;
}

struct search {
	uint64_t lowest, highest; /* for the start of the area */
	uint64_t size, start, end;
	uint64_t best, best_distance; /* best 0: none yet */
};

static void consider(struct search *s, uint64_t address)
{
	uint64_t last = address + s->size;
	uint64_t distance = last <= s->start ? s->start - last : address >= s->end ? address - s->end : 0;
	if (!s->best || distance < s->best_distance) {
		s->best = address;
		s->best_distance = distance;
	}
}

/* The place in the free area [from, to) that is nearest to [start, end). */
static void search_hole(struct search *s, uint64_t from, uint64_t to)
{
	if (to > USER_END)
		to = USER_END;
	if (from < s->lowest)
		from = s->lowest;
	if (from >= to || to - from < s->size)
		return;
	uint64_t highest = to - s->size < s->highest ? to - s->size : s->highest;
	if (highest < from)
		return;
	if (from >= s->end)
		consider(s, from);
	else
		consider(s, highest); /* the hole lies before start, or around an unmapped [start, end) */
}

static uint64_t find_gap(const struct maps *maps, struct search s, uint64_t heap_room)
{
	uint64_t heap = heap_end(maps), from = 0;
	for (size_t i = 0; i <= maps->n && from < USER_END; i++) {
		const struct mapping *next = i < maps->n ? &maps->v[i] : NULL;
		uint64_t to = next ? next->start : USER_END;
		uint64_t keep = next && strcmp(next->name, "[stack]") == 0 ? STACK_ROOM : PAGE;
		if (next)
			to = to > keep ? to - keep : 0;
		search_hole(&s, from, to);
		if (!next)
			break;
		keep = next->end == heap ? heap_room : PAGE;
		from = next->end < USER_END ? next->end + keep : USER_END;
	}
	return s.best;
}

uint64_t maps_find_gap(const struct maps *maps, uint64_t start, uint64_t end, uint64_t size, uint64_t reach)
{
	if (!size || size % PAGE || size > USER_END || start >= end || end > USER_END || reach > USER_END ||
	    end - start > reach || size > reach)
		return 0;
	/* end - 1 - a <= reach, and a + size - 1 - start <= reach */
	struct search s = {.size = size, .start = start, .end = end};
	s.lowest = end - 1 > reach ? end - 1 - reach : 0;
	s.lowest = (s.lowest + PAGE - 1) & ~(PAGE - 1);
	uint64_t lowest = lowest_address();
	if (s.lowest < lowest)
		s.lowest = lowest;
	if (start + reach < size - 1)
		return 0;
	s.highest = (start + reach - (size - 1)) & ~(PAGE - 1);
	uint64_t found = find_gap(maps, s, HEAP_ROOM);
	return found ? found : find_gap(maps, s, HEAP_ROOM_BARE);
}
