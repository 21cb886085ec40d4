/* SPDX-License-Identifier: MIT */
/* For the tests of types: an empty directory each, pairs of small sources, what the report says of them, broken files. */
#ifndef TYPES_TEST_H
#define TYPES_TEST_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build/file.h"
#include "build/types/types.h"

static char directory[] = "/tmp/usplice-test-types-XXXXXX";

struct pair {
	const char *name, *before, *after;
	const char *functions; /* with spaces between */
	const char *expected;  /* "kind name: text [functions]\n"... */
	const char *flags;     /* instead of all the usual ones */
};

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static inline int setup(void **state)
{
	(void)state;
	strcpy(strrchr(directory, '-'), "-XXXXXX");
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static inline int teardown(void **state)
{
	(void)state;
	return chdir("/") < 0 ? -1 : nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void put_bytes(const char *path, const void *bytes, size_t size)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

static inline void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

static inline void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static inline void compile(const char *cc, const char *flags, const char *source, const char *object)
{
	char command[512];
	put("source.c", source);
	snprintf(command, sizeof(command), "%s -g -w %s -c source.c -o %s", cc, flags, object);
	run(command);
}

static inline void compile_pair(const char *cc, const char *flags, const struct pair *pair)
{
	char command[512];
	put("before.c", pair->before);
	put("after.c", pair->after);
	snprintf(command, sizeof(command),
		 "%s -g -w %s -c before.c -o before.o & %s -g -w %s -c after.c -o after.o && wait $!", cc,
		 flags, cc, flags);
	run(command);
}

/* The report as text; the caller frees. */
static char *show(const struct types_report *report)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	assert_non_null(f);
	for (size_t i = 0; i < report->n; i++) {
		const struct types_change *c = &report->v[i];
		fprintf(f, "%s%s %s: %s [", types_kind_word(c->kind),
			c->kind == TYPES_VARIABLE ? (c->kept ? "" : " (held)")
			: c->kind == TYPES_LAYOUT
				? (const char *[]){"", " (in padding)", " (reread)"}[c->kept]
				: "",
			c->name, c->text);
		for (size_t k = 0; k < c->n_functions; k++)
			fprintf(f, "%s%s", k ? " " : "", c->functions[k]);
		fprintf(f, "]\n");
	}
	assert_int_equal(fclose(f), 0);
	return text;
}

static char *compare(const char *functions)
{
	char *copy = strdup(functions);
	const char *v[16];
	size_t n = 0;
	for (char *s = strtok(copy, " "); s; s = strtok(NULL, " "))
		v[n++] = s;
	struct types_report *report;
	struct usp_error *error = types_compare("before.o", "after.o", v, n, &report);
	if (error)
		fail_msg("%s", error->message);
	char *text = show(report);
	types_report_destroy(report);
	free(copy);
	return text;
}

/* Whether text is what is expected; one "%s" in it is anything up to the end of the line. */
static inline bool matches(const char *text, const char *expected)
{
	while (*expected) {
		if (!strncmp(expected, "%s", 2)) {
			expected += 2;
			text += strcspn(text, "\n");
			expected += strcspn(expected, "\n");
		} else if (*text++ != *expected++) {
			return false;
		}
	}
	return !*text;
}

static inline void check(const char *cc, const char *flags, const struct pair *pair)
{
	compile_pair(cc, flags, pair);
	char *text = compare(pair->functions);
	if (!matches(text, pair->expected))
		fail_msg("%s: %s %s:\n%s-- expected:\n%s", pair->name, cc, flags, text, pair->expected);
	free(text);
}

static inline void need(const char *cc)
{
	char command[64];
	snprintf(command, sizeof(command), "%s --version >/dev/null 2>&1", cc);
	if (system(command) == 0)
		return;
	print_message("# there is no %s here\n", cc);
	skip();
}

/* A small generator, so that a seed is the same everywhere. */
static inline uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* A place in a section of the debug information (or of its relocations), or anywhere. */
static inline size_t place(const uint8_t *bytes, size_t size, uint32_t *seed)
{
	Elf64_Ehdr header;
	Elf64_Shdr section, names;
	memcpy(&header, bytes, sizeof(header));
	memcpy(&names, bytes + header.e_shoff + header.e_shstrndx * sizeof(names), sizeof(names));
	for (int tries = 0; tries < 64 && next(seed) % 16; tries++) {
		memcpy(&section, bytes + header.e_shoff + next(seed) % header.e_shnum * sizeof(section),
		       sizeof(section));
		const char *name = (const char *)bytes + names.sh_offset + section.sh_name;
		if (strstr(name, ".debug_") && !strstr(name, "line") && section.sh_size)
			return section.sh_offset + next(seed) % section.sh_size;
	}
	return next(seed) % 4 ? next(seed) % size
			      : header.e_shoff + next(seed) % (header.e_shnum * sizeof(section));
}

static inline void mutate(const char *cc, const char *flags, const char *source, uint32_t first, uint32_t n)
{
	uint8_t *good, *bad;
	size_t size;
	need(cc);
	compile(cc, flags, source, "before.o");
	assert_null(file_read("before.o", 1 << 20, &good, &size));
	bad = malloc(size);
	assert_non_null(bad);
	for (uint32_t i = first; i < first + n; i++) {
		uint32_t seed = i * 2654435761u;
		memcpy(bad, good, size);
		for (uint32_t k = 1 + next(&seed) % 4; k; k--)
			bad[place(good, size, &seed)] = next(&seed) % 3
								? (uint8_t)next(&seed)
								: (uint8_t)(next(&seed) % 2 ? 0xff : 0);
		size_t length = next(&seed) % 16 ? size : next(&seed) % size;
		put_bytes("after.o", bad, length);
		static const char *const functions[] = {"f", "g"};
		struct types_report *report;
		struct usp_error *error = types_compare("before.o", "after.o", functions, 2, &report);
		if (error)
			usp_error_destroy(error);
		else
			types_report_destroy(report);
	}
	free(good);
	free(bad);
}

#endif
