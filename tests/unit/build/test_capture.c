// SPDX-License-Identifier: MIT
/*
 * capture_run() on small builds: which objects and links are seen, and what went into what.
 */
#define _GNU_SOURCE
#include "capture_test.h"

static void test_compile(void **state)
{
	(void)state;
	struct capture capture = built("gcc -c a.c\ngcc -c b.c -o b2.o\ngcc a.o b2.o -o prog");
	assert_int_equal(capture.n_objects, 2);
	assert_int_equal(capture.n_links, 1);
	const struct capture_object *a = find_object(&capture, "a.o");
	assert_non_null(a);
	assert_string_equal(a->directory, directory);
	assert_string_equal(a->command, "gcc -c a.c"); /* not the assembler's */
	const struct capture_link *prog = find_link(&capture, "prog");
	assert_non_null(prog);
	assert_false(prog->relocatable);
	check_input(prog, "a.o", a);
	check_input(prog, "b2.o", find_object(&capture, "b2.o"));
	assert_int_equal(own_inputs(&capture, prog), 2);
	assert_true(prog->n_inputs > 2); /* crt1.o and its like are named */
	capture_deinit(&capture);
}

/* The objects are in /tmp, and gone when the compiler ends. */
static void test_compile_and_link(void **state)
{
	(void)state;
	struct capture capture = built("gcc a.c b.c -o prog");
	assert_int_equal(capture.n_objects, 2);
	assert_int_equal(capture.n_links, 1);
	assert_int_equal(own_inputs(&capture, &capture.links[0]), 2);
	assert_string_equal(capture.objects[0].command, "gcc a.c b.c -o prog");
	assert_int_not_equal(access(capture.objects[0].path, F_OK), 0);
	capture_deinit(&capture);
}

static void test_pipe(void **state)
{
	(void)state;
	struct capture capture = built("gcc -pipe -c a.c b.c\ngcc a.o b.o");
	assert_int_equal(capture.n_objects, 2);
	check_input(find_link(&capture, "a.out"), "a.o", find_object(&capture, "a.o"));
	capture_deinit(&capture);
}

/* No assembler runs; -c with two sources and no -o. */
static void test_clang(void **state)
{
	(void)state;
	struct capture capture = built("mkdir src\nmv b.c src\nclang -c a.c src/b.c\nclang -oprog a.o b.o\n"
				       "clang a.c src/b.c -o direct");
	assert_int_equal(capture.n_objects, 4);
	assert_int_equal(capture.n_links, 2);
	check_input(find_link(&capture, "prog"), "b.o", find_object(&capture, "b.o"));
	assert_string_equal(find_object(&capture, "a.o")->command, "clang -c a.c src/b.c");
	assert_int_equal(own_inputs(&capture, find_link(&capture, "direct")), 2);
	capture_deinit(&capture);
}

/* Every way to call the output something. */
static void test_output_names(void **state)
{
	(void)state;
	struct capture capture = built("mkdir o\ngcc -c a.c -oo/1.o\ngcc -c a.c --output=o/2.o\n"
				       "gcc -c a.c -o x.o -o ./o//../o/3.o\ngcc -c a.c -o \"$PWD/o/4.o\"\n"
				       "cd o; gcc -S ../a.c -o a.s; as a.s; as -o 5.o a.s; ld -r 1.o");
	static const char *const names[] = {"o/1.o", "o/2.o", "o/3.o", "o/4.o", "o/5.o"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_non_null(find_object(&capture, names[i]));
	assert_null(find_object(&capture, "x.o"));
	assert_non_null(find_object(&capture, "o/a.out")); /* of `as` */
	assert_non_null(find_link(&capture, "o/a.out"));   /* of `ld` */
	capture_deinit(&capture);
}

/* What only names an object, or fails, has made none. */
static void test_no_objects(void **state)
{
	(void)state;
	assert_int_equal(system("gcc -c a.c && touch -d '2020-01-01' a.o && sleep 3"), 0);
	struct capture capture =
		built("nm -o a.o\nmake -n -o a.o >&2 || true\ngcc -c nothing.c -o a.o || true\n"
		      "gcc -c b.c -o /dev/null\ngcc -E b.c -o b.o\ngcc -S b.c -o b.o");
	assert_int_equal(capture.n_objects, 0);
	assert_int_equal(capture.n_links, 0);
	capture_deinit(&capture);
}

static void test_make(void **state)
{
	(void)state;
	put("Makefile", "all: ; $(MAKE) -C sub all\n");
	assert_int_equal(mkdir("sub", 0755), 0);
	put("sub/Makefile",
	    "all: prog\nprog: a.o b.o c.o ; $(CC) -o ../$@ $^\n%.o: ../%.c ; $(CC) -c $< -o $@\n");
	put("c.c", "int c;\n");
	struct capture capture = built("make -j2");
	assert_int_equal(capture.n_objects, 3);
	const struct capture_link *prog = find_link(&capture, "prog");
	check_input(prog, "sub/c.o", find_object(&capture, "sub/c.o"));
	assert_int_equal(own_inputs(&capture, prog), 3);
	capture_deinit(&capture);
}

static void test_archives(void **state)
{
	(void)state;
	static const char *const kinds[] = {"rcs", "rcsT"};
	for (size_t i = 0; i < 2; i++) {
		char script[512];
		/* A name of more than 15 characters is kept elsewhere in the archive. */
		snprintf(script, sizeof(script),
			 "rm -rf lib; mkdir lib; gcc -c a.c; gcc -c b.c -o lib/a_rather_long_name_for_b.o\n"
			 "echo 'int c;' | gcc -xc -c - -o lib/c.o\n"
			 "ar %s lib/libb.a lib/a_rather_long_name_for_b.o lib/c.o\n"
			 "gcc a.o lib/libb.a -o by-name\ngcc a.o -Llib -lb -o by-library\ngcc a.o -L lib "
			 "-l:libb.a -o by-file",
			 kinds[i]);
		struct capture capture = built(script);
		static const char *const links[] = {"by-name", "by-library", "by-file"};
		for (size_t k = 0; k < 3; k++) {
			const struct capture_link *link = find_link(&capture, links[k]);
			assert_int_equal(own_inputs(&capture, link), 3);
			check_input(link, "lib/libb.a(a_rather_long_name_for_b.o)",
				    find_object(&capture, "lib/a_rather_long_name_for_b.o"));
			check_input(link, "lib/libb.a(c.o)", find_object(&capture, "lib/c.o"));
		}
		capture_deinit(&capture);
	}
}

/* ar puts the members of a regular archive into a thin one by their place in it. */
static void test_thin_of_archive(void **state)
{
	(void)state;
	struct capture capture =
		built("mkdir lib; gcc -c a.c; gcc -c b.c\necho 'int c;' | gcc -xc -c - -o c.o\n"
		      "ar rcs lib/in.a c.o b.o\nar rcsT lib/out.a lib/in.a\nld -r a.o lib/out.a -o all.o\n"
		      "gcc a.o lib/out.a -o prog");
	const struct capture_link *prog = find_link(&capture, "prog");
	assert_int_equal(own_inputs(&capture, prog), 3);
	check_input(prog, "lib/out.a(b.o)", find_object(&capture, "b.o"));
	capture_deinit(&capture);
}

/* A shared library in front hides the archive, unless only archives may be taken. */
static void test_shared_first(void **state)
{
	(void)state;
	struct capture capture =
		built("mkdir one two; gcc -fPIC -c b.c; gcc -shared b.o -o one/libb.so; ar rcs two/libb.a "
		      "b.o; gcc -c a.c\n"
		      "gcc a.o -Lone -Ltwo -lb -o shared\ngcc a.o -Ltwo -Lone -lb -o first\n"
		      "gcc a.o -Lone -Ltwo -Wl,-Bstatic -lb -Wl,-Bdynamic -o bstatic\n"
		      "echo '/* x */ INPUT ( -lb )' >one/libc2.so; gcc a.o -Ltwo -Lone -lc2 -o script\n"
		      "echo 'GROUP(AS_NEEDED(two/libb.a))' >named; gcc a.o named -o group");
	assert_null(find_input(find_link(&capture, "shared"), "two/libb.a(b.o)"));
	static const char *const names[] = {"first", "bstatic", "script", "group"};
	for (size_t i = 0; i < 4; i++)
		check_input(find_link(&capture, names[i]), "two/libb.a(b.o)", find_object(&capture, "b.o"));
	check_input(find_link(&capture, "one/libb.so"), "b.o", find_object(&capture, "b.o"));
	capture_deinit(&capture);
}

static void test_relocatable(void **state)
{
	(void)state;
	struct capture capture = built("gcc -c a.c b.c\nld -r a.o -o one.o\ngcc -r one.o b.o -o both.o\n"
				       "ar rcs libboth.a both.o\ngcc libboth.a -o prog\ngcc both.o -o again");
	assert_int_equal(capture.n_objects, 2);
	assert_true(find_link(&capture, "one.o")->relocatable);
	assert_true(find_link(&capture, "both.o")->relocatable);
	static const char *const names[] = {"both.o", "prog", "again"};
	for (size_t i = 0; i < 3; i++) {
		const struct capture_link *link = find_link(&capture, names[i]);
		check_input(link, "a.o", find_object(&capture, "a.o"));
		check_input(link, "b.o", find_object(&capture, "b.o"));
	}
	assert_null(find_input(find_link(&capture, "again"), "both.o"));
	capture_deinit(&capture);
}

static void test_response_files(void **state)
{
	(void)state;
	put("compile.rsp", "-c 'a.c'\n\"-o\" a\\ b.o @more.rsp");
	put("more.rsp", "-DX=\"1 2\"");
	put("link.rsp", "-o\nprog 'a b.o'\tb.o");
	struct capture capture =
		built("gcc @compile.rsp; gcc -c b.c; gcc @link.rsp; clang @compile.rsp -o c.o");
	const struct capture_link *prog = find_link(&capture, "prog");
	check_input(prog, "a b.o", find_object(&capture, "a b.o"));
	check_input(prog, "b.o", find_object(&capture, "b.o"));
	assert_non_null(find_object(&capture, "c.o"));
	capture_deinit(&capture);
}

/* A wrapper in PATH would not have seen these. */
static void test_no_path(void **state)
{
	(void)state;
	struct capture capture = built("env -i /usr/bin/gcc -B/usr/bin a.c b.c -o prog");
	assert_int_equal(capture.n_objects, 2);
	assert_int_equal(own_inputs(&capture, find_link(&capture, "prog")), 2);
	capture_deinit(&capture);
}

/* As libtool does: one source, two objects of one name. */
static void test_twice(void **state)
{
	(void)state;
	struct capture capture = built("mkdir .libs; gcc -fPIC -c b.c -o .libs/b.o; gcc -fPIE -c b.c -o b.o\n"
				       "gcc -c a.c; gcc a.o b.o -o prog; gcc -shared .libs/b.o -o libb.so");
	assert_int_equal(capture.n_objects, 3);
	check_input(find_link(&capture, "libb.so"), ".libs/b.o", find_object(&capture, ".libs/b.o"));
	check_input(find_link(&capture, "prog"), "b.o", find_object(&capture, "b.o"));
	capture_deinit(&capture);
}

/* One name, several contents: the last counts, and what was linked. */
static void test_written_over(void **state)
{
	(void)state;
	struct capture capture =
		built("gcc -c b.c -DX; gcc -O2 -c b.c -o linked.o; cp linked.o keep.o\n"
		      "gcc -shared -fPIC -DA -xc -c b.c -o b.o; echo 'int last;' | gcc -xc -c - -o b.o");
	assert_int_equal(capture.n_objects, 2);
	assert_non_null(find_object(&capture, "b.o"));
	capture_deinit(&capture);

	capture = built("gcc -fPIC -O0 -c b.c; gcc -shared b.o -o libb.so\n"
			"echo 'int never;' | gcc -xc -c - -o b.o; echo 'int last;' | gcc -xc -c - -o b.o");
	assert_int_equal(capture.n_objects, 2);
	assert_int_equal(own_inputs(&capture, find_link(&capture, "libb.so")), 1);
	uint8_t last[PAYLOAD_HASH_SIZE];
	memcpy(last, capture.objects[1].hash, sizeof(last));
	capture_deinit(&capture);

	/* The same again as before: the last is the first. */
	capture = built(
		"echo 'int last;' | gcc -xc -c - -o b.o; gcc -c b.c; echo 'int last;' | gcc -xc -c - -o b.o");
	assert_int_equal(capture.n_objects, 1);
	assert_memory_equal(capture.objects[0].hash, last, sizeof(last));
	capture_deinit(&capture);
}

/* What rewrites an object in place is not seen; the link shows it. */
static void test_changed_in_place(void **state)
{
	(void)state;
	struct capture capture = built("gcc -g -c a.c b.c; objcopy --strip-debug b.o; gcc a.o b.o -o prog\n"
				       "gcc -g -gsplit-dwarf -c b.c -o s.o; gcc a.o s.o -o split");
	assert_int_equal(own_inputs(&capture, find_link(&capture, "prog")), 1);
	assert_non_null(find_input(find_link(&capture, "prog"), "b.o"));
	/* gcc's own use of objcopy is done when gcc ends. */
	assert_int_equal(own_inputs(&capture, find_link(&capture, "split")), 2);
	capture_deinit(&capture);
}

static void test_other_linkers(void **state)
{
	(void)state;
	static const char *const linkers[] = {"gold", "lld", "bfd"};
	for (size_t i = 0; i < 3; i++) {
		char script[256];
		snprintf(script, sizeof(script),
			 "clang -fuse-ld=%s -c a.c b.c\nclang -fuse-ld=%s a.o b.o -o prog", linkers[i],
			 linkers[i]);
		snprintf(script + 200, 50, "command -v ld.%s >/dev/null", linkers[i]);
		if (system(script + 200)) { /* NOLINT(bugprone-command-processor) */
			print_message("# there is no ld.%s here\n", linkers[i]);
			continue;
		}
		struct capture capture = built(script);
		assert_int_equal(own_inputs(&capture, find_link(&capture, "prog")), 2);
		capture_deinit(&capture);
	}
}

static void test_meson(void **state)
{
	(void)state;
	put("meson.build",
	    "project('x', 'c')\nl = static_library('b', 'b.c')\nexecutable('prog', 'a.c', link_with: l)\n");
	struct capture capture = built("meson setup build; ninja -C build");
	const struct capture_link *prog = find_link(&capture, "build/prog");
	assert_non_null(prog);
	check_input(prog, "build/prog.p/a.c.o", find_object(&capture, "build/prog.p/a.c.o"));
	assert_non_null(find_object(&capture, "build/libb.a.p/b.c.o"));
	assert_int_equal(own_inputs(&capture, prog), 2); /* the second out of a thin archive */
	capture_deinit(&capture);
}

/* A shell script that is called like a compiler, and a build that runs elsewhere. */
static void test_wrapper(void **state)
{
	(void)state;
	put("mycc", "#!/bin/sh\nexec 3>&1\ngcc \"$@\" && true\n");
	assert_int_equal(chmod("mycc", 0755), 0);
	assert_int_equal(mkdir("sub", 0755), 0);
	struct workdir workdir;
	assert_null(workdir_create(false, &workdir));
	char where[sizeof(directory) + 8];
	snprintf(where, sizeof(where), "%s/sub", directory);
	const char *const command[] = {
		"sh", "-ec", "test \"$PWD\" = \"$(pwd)\"; test $CCACHE_DISABLE = 1; ../mycc -c ../a.c", NULL};
	struct capture_options options = {
		.command = command, .directory = where, .store = "store", .output = "output"};
	struct capture capture;
	struct usp_error *error = capture_run(&workdir, &options, &capture);
	workdir_destroy(&workdir);
	if (error)
		fail_msg("%s", error->message);
	assert_int_equal(capture.n_objects, 1);
	assert_string_equal(find_object(&capture, "sub/a.o")->directory, where);
	capture_deinit(&capture);
}

struct heard {
	size_t calls, objects;
	char last[512];
};

static void hear(void *context, const char *tool_and_file, size_t n_objects)
{
	struct heard *heard = context;
	heard->calls++;
	heard->objects = n_objects;
	snprintf(heard->last, sizeof(heard->last), "%s", tool_and_file);
}

static void test_progress(void **state)
{
	(void)state;
	struct workdir workdir;
	assert_null(workdir_create(false, &workdir));
	const char *const command[] = {"gcc", "a.c", "b.c", "-o", "prog", NULL};
	struct heard heard = {0};
	struct capture_options options = {.command = command,
					  .store = "store",
					  .output = "output",
					  .progress = hear,
					  .context = &heard};
	struct capture capture;
	assert_null(capture_run(&workdir, &options, &capture));
	workdir_destroy(&workdir);
	assert_int_equal(heard.calls, 3);
	assert_int_equal(heard.objects, 2);
	char expected[512];
	snprintf(expected, sizeof(expected), "ld %s/prog", directory);
	assert_string_equal(heard.last, expected);
	capture_deinit(&capture);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_compile),
		CASE(test_compile_and_link),
		CASE(test_pipe),
		CASE(test_clang),
		CASE(test_output_names),
		CASE(test_no_objects),
		CASE(test_make),
		CASE(test_archives),
		CASE(test_thin_of_archive),
		CASE(test_shared_first),
		CASE(test_relocatable),
		CASE(test_response_files),
		CASE(test_no_path),
		CASE(test_twice),
		CASE(test_written_over),
		CASE(test_changed_in_place),
		CASE(test_other_linkers),
		CASE(test_meson),
		CASE(test_wrapper),
		CASE(test_progress),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
