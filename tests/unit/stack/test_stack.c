// SPDX-License-Identifier: MIT
/* Verdicts on real processes that sleep in known positions. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "process/elf/symbols.h"
#include "subject.h"

static void pass(struct usp_error *error)
{
	if (error)
		fail_msg("%s", error->message);
}

/* What stack_check() saw, as text. */
static struct usp_error *judge(struct stack_checker *checker, const struct thread *thread,
			       const struct range_set *ranges, enum stack_verdict *verdict, char **where)
{
	struct stack_trace *trace = NULL;
	struct usp_error *error = stack_check(checker, thread, ranges, verdict, where ? &trace : NULL);
	if (where)
		*where = stack_trace_text(trace);
	stack_trace_free(trace);
	return error;
}

struct position {
	const char *name, *mode, *argument;
	enum stack_verdict verdict;
	bool in_thread, musl;
	const char *says[3]; /* must be in the text */
};

static const struct position positions[] = {
	{"inside", "inside", "", STACK_BUSY, .says = {"#0 ", "work+0x", "<- here"}},
	{"outside", "outside", "", STACK_FREE},
	{"stale word, complete walk", "stale", "", STACK_FREE},
	{"no CFI, clean stack", "no-cfi", "", STACK_FREE},
	{"no CFI, inside above it", "no-cfi-inside", "", STACK_UNKNOWN,
	 .says = {"without_cfi+0x", "no unwind information", "stack word at 0x"}},
	{"no CFI, stale word above it", "stale-above-no-cfi", "", STACK_UNKNOWN,
	 .says = {"perhaps left over"}},
	{"no CFI, stale word in a walked frame", "stale-below-no-cfi", "", STACK_FREE},
	{"20 000 frames, inside", "deep", "20000", STACK_BUSY, .says = {"work+0x", "<- here", "..."}},
	{"100 000 frames, clean", "deep-outside", "100000", STACK_FREE},
	{"20 000 frames, stale word", "deep-stale", "20000", STACK_FREE},
	{"100 000 frames, stale word", "deep-stale", "100000", STACK_UNKNOWN, .says = {"too many frames"}},
	{"signal on alternate stack, inside", "alternate-inside", "", STACK_BUSY,
	 .says = {"<signal handler called>", "work+0x", "<- here"}},
	{"signal on alternate stack, outside", "alternate-outside", "", STACK_FREE},
	{"signal on the same stack, inside", "same-inside", "", STACK_BUSY,
	 .says = {"trap_inside+0x1 ", "<- here"}},
	{"signal on the same stack, at the entry", "same-entry", "", STACK_FREE},
	{"alternate stack within the stack, inside", "array-inside", "", STACK_BUSY, .says = {"work+0x"}},
	{"alternate stack within the stack, outside", "array-outside", "", STACK_FREE},
	{"coroutine inside", "coroutine-inside", "", STACK_BUSY, .says = {"work+0x", "<- here"}},
	{"coroutine outside", "coroutine-outside", "", STACK_FREE},
	{"coroutine outside, its thread's stack inside", "coroutine-suspended-inside", "", STACK_UNKNOWN,
	 .says = {"another stack than its own"}},
	{"setjmp inside", "setjmp-inside", "", STACK_BUSY, .says = {"work+0x"}},
	{"setjmp, jumped out", "setjmp-outside", "", STACK_FREE},
	{"second thread inside", "thread-inside", "", STACK_BUSY, .in_thread = true, .says = {"work+0x"}},
	{"second thread outside", "thread-outside", "", STACK_FREE, .in_thread = true},
	{"second thread, stale word", "thread-stale", "", STACK_FREE, .in_thread = true},
	{"musl: outside", "outside", "", STACK_FREE, .musl = true},
	{"musl: inside", "inside", "", STACK_UNKNOWN, .musl = true, .says = {"<- here"}},
	{"musl: second thread outside", "thread-outside", "", STACK_FREE, .in_thread = true, .musl = true},
	{"musl: second thread inside", "thread-inside", "", STACK_UNKNOWN, .in_thread = true, .musl = true},
};

static void test_position(void **state)
{
	const struct position *position = *state;
	const char *program = getenv(position->musl ? "STACK_VICTIM_MUSL" : "STACK_VICTIM");
	struct subject subject;
	struct stack_checker *checker;
	enum stack_verdict verdict = -1;
	char *where = NULL;
	if (!program) /* no musl-gcc here */
		skip();
	subject_start(&subject, program, position->mode, position->argument);
	pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
	/* Twice: what a checker keeps must not change the answer. */
	for (int i = 0; i < 2; i++) {
		free(where);
		pass(judge(checker, subject_thread(&subject, position->in_thread), &subject.ranges, &verdict,
			   &where));
		if (verdict != position->verdict)
			fail_msg("verdict %d, expected %d\n%s", verdict, position->verdict,
				 where ? where : "");
	}
	if (verdict == STACK_FREE)
		assert_null(where);
	else
		assert_non_null(where);
	for (int i = 0; i < 3 && position->says[i]; i++)
		if (!strstr(where, position->says[i]))
			fail_msg("\"%s\" is not in\n%s", position->says[i], where);
	free(where);
	stack_checker_destroy(checker);
	subject_end(&subject);
}

/* Nothing going away: everybody is free, wherever he is. */
static void test_no_ranges(void **state)
{
	(void)state;
	struct subject subject;
	struct stack_checker *checker;
	enum stack_verdict verdict;
	struct range_set none = {0};
	char *where;
	subject_start(&subject, getenv("STACK_VICTIM"), "inside", "");
	pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
	pass(judge(checker, &subject.threads[0], &none, &verdict, &where));
	assert_int_equal(verdict, STACK_FREE);
	stack_checker_destroy(checker);
	subject_end(&subject);
}

/* The maps were read before the thread was born. */
static void test_old_maps(void **state)
{
	(void)state;
	struct subject subject;
	struct stack_checker *checker;
	enum stack_verdict verdict;
	char *where;
	subject_start(&subject, getenv("STACK_VICTIM"), "thread-outside", "");
	const struct thread *thread = subject_thread(&subject, true);
	struct maps old = {.v = subject.maps.v};
	while (old.n < subject.maps.n && subject.maps.v[old.n].end <= thread->registers.rsp)
		old.n++; /* all below that thread's stack */
	pass(stack_checker_create(subject.target, &old, subject.modules, NULL, 0, &checker));
	pass(judge(checker, thread, &subject.ranges, &verdict, &where));
	assert_int_equal(verdict, STACK_FREE);
	stack_checker_destroy(checker);
	subject_end(&subject);
}

static void test_no_registers(void **state)
{
	(void)state;
	struct subject subject;
	struct stack_checker *checker;
	enum stack_verdict verdict;
	char *where;
	bool avoids;
	subject_start(&subject, getenv("STACK_VICTIM"), "outside", "");
	pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
	subject.threads[0].has_registers = false;
	struct usp_error *error = judge(checker, &subject.threads[0], &subject.ranges, &verdict, &where);
	assert_non_null(error);
	assert_int_equal(error->code, USP_FAILED);
	usp_error_destroy(error);
	error = stack_walk_avoids(checker, &subject.threads[0], &subject.ranges, &avoids);
	assert_non_null(error);
	usp_error_destroy(error);
	stack_checker_destroy(checker);
	subject_end(&subject);
}

/* Registers that lie: a stack pointer into nowhere, unaligned, in the middle of code, at the very end. */
static void test_wild_registers(void **state)
{
	(void)state;
	struct subject subject;
	struct stack_checker *checker;
	enum stack_verdict verdict;
	char *where;
	subject_start(&subject, getenv("STACK_VICTIM"), "inside", "");
	pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
	struct thread *thread = &subject.threads[0];
	const uint64_t good = thread->registers.rsp;
	const uint64_t wild[] = {0,
				 8,
				 UINT64_MAX,
				 UINT64_MAX - 7,
				 good + 1,
				 good + 4,
				 subject.ranges.v[0].start,
				 1ull << 47,
				 0x8000000000000000u};
	for (size_t i = 0; i < sizeof(wild) / sizeof(*wild); i++) {
		thread->registers.rsp = wild[i];
		where = NULL;
		pass(judge(checker, thread, &subject.ranges, &verdict, &where));
		assert_int_not_equal(verdict, STACK_FREE);
		free(where);
	}
	/* A return address held in a register only: vfork does that. */
	thread->registers.rsp = good;
	thread->registers.rip = 8;
	thread->registers.rdi = subject.ranges.v[0].start + 3;
	pass(judge(checker, thread, &subject.ranges, &verdict, &where));
	assert_int_equal(verdict, STACK_UNKNOWN);
	free(where);
	stack_checker_destroy(checker);
	subject_end(&subject);
}

/* A thread without TLS, made by clone() alone: its stack is not known, the walk decides. */
static void test_no_tls(void **state)
{
	(void)state;
	static const struct {
		const char *mode;
		enum stack_verdict verdict;
	} cases[] = {{"thread-outside", STACK_FREE}, {"thread-inside", STACK_BUSY}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct subject subject;
		struct stack_checker *checker;
		enum stack_verdict verdict;
		subject_start(&subject, getenv("STACK_VICTIM"), cases[i].mode, "");
		struct thread thread = *subject_thread(&subject, true);
		thread.registers.fs_base = 0;
		pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
		pass(judge(checker, &thread, &subject.ranges, &verdict, NULL));
		assert_int_equal(verdict, cases[i].verdict);
		stack_checker_destroy(checker);
		subject_end(&subject);
	}
}

static void test_walk_avoids(void **state)
{
	(void)state;
	static const struct {
		const char *mode;
		bool avoids;
	} cases[] = {{"outside", true}, {"inside", false}, {"no-cfi", false}, {"alternate-outside", true}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct subject subject;
		struct stack_checker *checker;
		bool avoids;
		subject_start(&subject, getenv("STACK_VICTIM"), cases[i].mode, "");
		pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
		pass(stack_walk_avoids(checker, &subject.threads[0], &subject.ranges, &avoids));
		assert_int_equal(avoids, cases[i].avoids);
		stack_checker_destroy(checker);
		subject_end(&subject);
	}
}

/* A frame in a payload image is walked through, and named; without the image the walk ends there. */
static void test_image(void **state)
{
	(void)state;
	struct subject subject;
	struct stack_checker *checker;
	enum stack_verdict verdict;
	char argument[4096], *where;
	bool avoids;
	struct module *file;
	struct symbol entry;
	pass(module_open_file(getenv("STACK_IMAGE"), &file));
	pass(symbol_find(file, "image_entry", NULL, STT_FUNC, &entry));
	snprintf(argument, sizeof(argument), "%s:%" PRIx64, file->path, entry.address);
	module_close(file);
	subject_start(&subject, getenv("STACK_VICTIM"), "image", argument);
	struct stack_image image = {subject.image_base, subject.image_size, "fix-one"};
	pass(stack_checker_create(subject.target, &subject.maps, subject.modules, &image, 1, &checker));
	pass(stack_walk_avoids(checker, &subject.threads[0], &subject.ranges, &avoids));
	assert_true(avoids);
	struct range_set ranges = {0};
	assert_int_equal(range_set_add(&ranges, image.base, image.base + image.size), 0);
	range_set_seal(&ranges);
	pass(judge(checker, &subject.threads[0], &ranges, &verdict, &where));
	assert_int_equal(verdict, STACK_BUSY);
	assert_non_null(strstr(where, "image_entry+0x"));
	assert_non_null(strstr(where, "(payload fix-one)  <- here"));
	free(where);
	stack_checker_destroy(checker);

	pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
	pass(stack_walk_avoids(checker, &subject.threads[0], &subject.ranges, &avoids));
	assert_false(avoids);
	pass(judge(checker, &subject.threads[0], &ranges, &verdict, &where));
	assert_int_equal(verdict, STACK_BUSY); /* its address is a frame's all the same */
	free(where);
	stack_checker_destroy(checker);

	/* A registry that lies about images. */
	const struct stack_image bad[] = {{image.base, 0, "x"},
					  {image.base, UINT64_MAX, "x"},
					  {8, 4096, "x"},
					  {UINT64_MAX - 4096, 8192, "x"},
					  {image.base, 1ull << 40, "x"}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct usp_error *error = stack_checker_create(subject.target, &subject.maps, subject.modules,
							       &bad[i], 1, &checker);
		assert_non_null(error);
		usp_error_destroy(error);
	}
	range_set_deinit(&ranges);
	subject_end(&subject);
}

static void test_many_threads(void **state)
{
	(void)state;
	struct subject subject;
	struct stack_checker *checker;
	struct timespec a, b;
	subject_start(&subject, getenv("STACK_VICTIM"), "threads", "512");
	assert_int_equal(subject.n, 513);
	pass(stack_checker_create(subject.target, &subject.maps, subject.modules, NULL, 0, &checker));
	double best = 1e9;
	for (int round = 0; round < 5; round++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (size_t i = 0; i < subject.n; i++) {
			enum stack_verdict verdict;
			char *where;
			pass(judge(checker, &subject.threads[i], &subject.ranges, &verdict, &where));
			assert_int_equal(verdict, STACK_FREE);
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		double ms = (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
		best = ms < best ? ms : best;
	}
	print_message("# 513 threads judged in %.2f ms\n", best);
	stack_checker_destroy(checker);
	subject_end(&subject);
}

int main(void)
{
	enum {
		POSITIONS = sizeof(positions) / sizeof(*positions)
	};
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(test_no_ranges),    cmocka_unit_test(test_old_maps),
		cmocka_unit_test(test_no_registers), cmocka_unit_test(test_wild_registers),
		cmocka_unit_test(test_walk_avoids),  cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_image),	     cmocka_unit_test(test_many_threads),
	};
	enum {
		OTHERS = sizeof(others) / sizeof(*others)
	};
	struct CMUnitTest tests[POSITIONS + OTHERS];
	for (size_t i = 0; i < POSITIONS; i++)
		tests[i] = (struct CMUnitTest){positions[i].name, test_position, NULL, NULL,
					       (void *)(uintptr_t)&positions[i]};
	memcpy(tests + POSITIONS, others, sizeof(others));
	return _cmocka_run_group_tests("stack", tests, POSITIONS + OTHERS, NULL, NULL);
}
