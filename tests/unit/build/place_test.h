/* SPDX-License-Identifier: MIT */
/* For the tests of places and proofs: an empty directory each, small sources, programs made of them. */
#ifndef PLACE_TEST_H
#define PLACE_TEST_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build/file.h"
#include "build/place/place.h"
#include "build/place/proof.h"

static char directory[] = "/tmp/usplice-test-place-XXXXXX";

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static inline int setup(void **state)
{
	(void)state;
	strcpy(strrchr(directory, '-'), "-XXXXXX");
	return !mkdtemp(directory) || chdir(directory) < 0 ? -1 : 0;
}

static inline int teardown(void **state)
{
	(void)state;
	return chdir("/") < 0 ? -1 : nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...)
{
	char command[2048];
	va_list args;
	va_start(args, format);
	assert_true((size_t)vsnprintf(command, sizeof(command), format, args) < sizeof(command));
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline bool have(const char *tool)
{
	char command[128];
	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", tool);
	return system(command) == 0;
}

/* A program with an object of it, opened and placed. */
struct looked {
	struct module *target, *names;
	struct object *object;
	struct place place;
};

static inline void ok(struct usp_error *error)
{
	if (error)
		fail_msg("%s", error->message);
}

static inline struct usp_error *try_look(const char *target, const char *names, const char *object,
					 struct looked *l)
{
	ok(module_open_file(target, &l->target));
	l->names = l->target;
	if (names)
		ok(module_open_file(names, &l->names));
	ok(object_open(object, &l->object));
	return place_object(l->object, l->names, l->target, &l->place);
}

static inline void done(struct looked *l)
{
	place_deinit(&l->place);
	object_close(l->object);
	if (l->names != l->target)
		module_close(l->names);
	module_close(l->target);
}

static inline void look(const char *target, const char *names, const char *object, struct looked *l)
{
	ok(try_look(target, names, object, l));
}

static inline uint32_t piece(const struct looked *l, const char *name)
{
	for (uint32_t i = 0; i < l->object->n_pieces; i++)
		if (l->object->pieces[i].name && !strcmp(l->object->pieces[i].name, name))
			return i;
	fail_msg("%s has no %s", l->object->path, name);
	return 0;
}

/* What nm says of the program that was read last: the nth one of this name; PLACE_NONE: not there. */
static inline uint64_t listed(const char *name, unsigned nth)
{
	char line[512];
	uint64_t found = PLACE_NONE;
	FILE *f = fopen("names", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *space = strrchr(line, ' ');
		line[strcspn(line, "\n")] = '\0';
		if (space && !strcmp(space + 1, name) && !nth--)
			found = strtoull(line, NULL, 16);
	}
	fclose(f);
	return found;
}

static inline uint64_t address_of(const char *program, const char *name, unsigned nth)
{
	run("nm -p %s >names", program);
	return listed(name, nth);
}

static inline char *difference(const struct looked *l, const char *name)
{
	char *text;
	ok(proof_piece(l->object, &l->place, piece(l, name), l->target, &text));
	return text;
}

/* Every function and variable is where the linker's table has it, and all of them are the same. */
static inline size_t all_same(const char *target, const char *names, const char *object)
{
	struct looked l;
	size_t n = 0;
	run("nm -p %s >names", names ? names : target);
	look(target, names, object, &l);
	assert_int_equal(l.place.state, PLACE_FOUND);
	for (uint32_t i = 0; i < l.object->n_pieces; i++) {
		const struct object_piece *p = &l.object->pieces[i];
		char *text;
		if (!p->symbol || l.object->sections[p->section].flags & SHF_MERGE)
			continue;
		uint64_t at = place_of_piece(l.object, &l.place, i);
		if (at == PLACE_NONE)
			fail_msg("%s: %s has no place", target, p->name);
		if (!(l.object->sections[p->section].flags & SHF_TLS) && !p->numbered &&
		    l.object->symbols[p->symbol].binding != STB_LOCAL)
			assert_int_equal(at, listed(p->name, 0));
		ok(proof_piece(l.object, &l.place, i, l.target, &text));
		if (text)
			fail_msg("%s: %s", target, text);
		n++;
	}
	done(&l);
	return n;
}

/* One of everything: constants, jump tables, tables of pointers, libc calls, other objects, cold parts, commons. */
__attribute__((unused)) static const char all_c[] =
	"typedef struct file FILE; extern FILE *stderr; int puts(const char *), fprintf(FILE *, const char "
	"*, ...);\n"
	"int fputs(const char *, FILE *); void abort(void); unsigned long strlen(const char *);\n"
	"extern int other(int), other_data; extern __attribute__((weak)) int nobody(void);\n"
	"int common_one; int counter = 3; static int hidden_counter, zero[7]; const double third = 0.333;\n"
	"static const char *const names[] = {\"a\", \"bc\", \"def\"};\n"
	"static int helper(int x) { static int calls; return ++calls * x + hidden_counter; }\n"
	"__attribute__((weak)) int weak_one(int x) { return x * 7; }\n"
	"__attribute__((noinline)) double scale(double x) { return x * 1.75 + third; }\n"
	"__attribute__((noinline)) int pick(int x) { switch (x) { case 0: return other(3); case 1: "
	"puts(\"one\"); return 7;\n"
	" case 2: return zero[x] += 5; case 3: return helper(9); case 4: return counter++; case 5: return "
	"common_one;\n"
	" case 6: return (int)strlen(names[x % 3]); case 7: return other_data; case 8: return weak_one(x);\n"
	" case 9: fprintf(stderr, \"%s\\n\", names[0]); return 1; default: return x; } }\n"
	"__attribute__((noinline)) int fail(int x) { if (x < 0) { fputs(\"bad\", stderr); abort(); }\n"
	" return nobody ? nobody() : x; }\n"
	"static int (*const table[])(int) = {pick, fail, helper};\n"
	"int each(int n) { int s = 0; for (int i = 0; i < n; i++) s += table[i % 3](i); return s; }\n"
	"static __attribute__((constructor)) void start(void) { hidden_counter = 1; }\n";
static const char other_c[] =
	"int other_data = 5; static int zero[3]; int other(int x) { return zero[x % 3] + x; }\n"
	"int unused_one(int x) { return x + 11; }\n";
static const char main_c[] =
	"extern int each(int); double scale(double);\n"
	"int main(int argc, char **argv) { (void)argv; return each(argc) + (int)scale(argc); }\n";

static inline void put_all(void)
{
	put("all.c", all_c);
	put("other.c", other_c);
	put("main.c", main_c);
}

#endif
