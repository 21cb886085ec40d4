// SPDX-License-Identifier: MIT
/*
 * place_object() on small programs that the test compiles and links in every way that matters: all is found where the
 * linker put it, and is proven there.
 */
#define _GNU_SOURCE
#include "place_test.h"

static const char *const compilers[] = {"gcc", "clang"};

static void test_ways(void **state)
{
	(void)state;
	static const struct {
		const char *compile, *link;
	} ways[] = {
		{"-O0 -fPIE", "-pie"},
		{"-O1 -fPIE", "-pie"},
		{"-O2 -g -fPIE -fstack-protector-strong", "-pie -Wl,-z,now"},
		{"-O3 -fPIE -fcf-protection", "-pie"},
		{"-Os -fPIE -fno-plt", "-pie"},
		{"-O2 -fPIE -mcmodel=large", "-pie"},
		{"-O0 -fno-pie", "-no-pie"},
		{"-O2 -fno-pie -fcommon", "-no-pie"},
		{"-O2 -fno-pie", "-no-pie -static"},
		{"-O2 -fPIE -fno-plt", "-static-pie"},
		{"-O2 -fPIC", "-shared"},
		{"-O2 -fPIC -fno-plt -fcommon", "-shared"},
		{"-O2 -fPIC -fvisibility=hidden", "-shared"},
		{"-O2 -fPIC", "-no-pie"},
		{"-O2 -fPIE -ffunction-sections -fdata-sections", "-pie"},
	};
	put_all();
	for (size_t c = 0; c < 2; c++) {
		if (!have(compilers[c])) {
			print_message("# no %s here\n", compilers[c]);
			continue;
		}
		for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
			run("%s %s -w -c all.c other.c main.c && %s %s -o program all.o other.o main.o",
			    compilers[c], ways[i].compile, compilers[c], ways[i].link);
			size_t n = all_same("program", NULL, "all.o");
			if (n < 10)
				fail_msg("%s %s: only %zu pieces", compilers[c], ways[i].compile, n);
			all_same("program", NULL, "other.o");
			all_same("program", NULL, "main.o");
		}
	}
}

static void test_linkers(void **state)
{
	(void)state;
	static const char *const linkers[] = {"bfd", "gold", "lld"}, *const kinds[] = {"-pie", "-no-pie",
										       "-shared"};
	put_all();
	for (size_t i = 0; i < 3; i++) {
		char tool[16];
		snprintf(tool, sizeof(tool), "ld.%s", linkers[i]);
		if (!have(tool)) {
			print_message("# no %s here\n", tool);
			continue;
		}
		for (size_t k = 0; k < 3; k++) {
			run("gcc -O2 -w %s -fno-plt -c all.c other.c main.c", k == 1 ? "-fno-pic" : "-fPIC");
			run("gcc %s -fuse-ld=%s -o program all.o other.o main.o", kinds[k], linkers[i]);
			all_same("program", NULL, "all.o");
			all_same("program", NULL, "other.o");
		}
	}
}

/* What --gc-sections leaves out has no place; the rest has. */
static void test_left_out(void **state)
{
	(void)state;
	struct looked l;
	put_all();
	run("gcc -O2 -w -fPIE -ffunction-sections -fdata-sections -c all.c other.c main.c && "
	    "gcc -pie -Wl,--gc-sections -o program all.o other.o main.o");
	look("program", NULL, "other.o", &l);
	assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, "unused_one")), PLACE_NONE);
	assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, "other")),
			 address_of("program", "other", 0));
	assert_null(difference(&l, "other"));
	char *text;
	struct usp_error *error = proof_piece(l.object, &l.place, piece(&l, "unused_one"), l.target, &text);
	assert_non_null(error);
	assert_int_equal(error->code, USP_NOT_FOUND);
	assert_non_null(strstr(error->message, "unused_one"));
	usp_error_destroy(error);
	done(&l);
}

static void test_not_linked(void **state)
{
	(void)state;
	struct looked l;
	put_all();
	put("stranger.c",
	    "static int helper(int x) { return x + 4; }\nint stranger(int x) { return helper(x) * 2; }\n");
	run("gcc -O0 -w -fPIE -c all.c other.c main.c stranger.c && gcc -pie -o program all.o other.o "
	    "main.o");
	look("program", NULL, "stranger.o", &l);
	assert_int_equal(l.place.state, PLACE_ABSENT);
	for (uint32_t i = 0; i < l.place.n; i++)
		assert_int_equal(l.place.sections[i], PLACE_NONE);
	char *text;
	struct usp_error *error = proof_piece(l.object, &l.place, piece(&l, "helper"), l.target, &text);
	assert_non_null(error);
	assert_int_equal(error->code, USP_NOT_FOUND);
	usp_error_destroy(error);
	done(&l);
}

/* Two files util.c with the same local names: which is which is never taken from the first match. */
static void util_program(const char *number, const char *flags)
{
	static const char text[] =
		"#include <stdio.h>\nstatic int state; static const int step[4] = {%s, 2, 3, 4};\n"
		"static __attribute__((noinline)) int work(int x) { state += x; return state ^ step[x & 3]; "
		"}\n"
		"static __attribute__((noinline)) void tell(int x) { printf(\"%%d\\n\", x); }\n"
		"int %c_do(int x) { tell(x); return work(x) + 1; }\n";
	run("mkdir -p a b");
	for (int i = 0; i < 2; i++) {
		char source[1024];
		snprintf(source, sizeof(source), text, i ? number : "1", 'a' + i);
		put(i ? "b/util.c" : "a/util.c", source);
	}
	put("m.c",
	    "int a_do(int), b_do(int); int main(int c, char **v) { (void)v; return a_do(c) + b_do(c); }\n");
	run("for d in a b; do (cd $d && gcc %s -w -c util.c); done; gcc %s -c m.c && gcc %s -o program "
	    "a/util.o b/util.o m.o",
	    flags, flags, strstr(flags, "no-pie") ? "-no-pie" : "-pie");
}

static void check_util(const char *directory_name, unsigned nth)
{
	static const char *const names[] = {"work", "tell", "state", "step"};
	struct looked l;
	char path[32];
	snprintf(path, sizeof(path), "%s/util.o", directory_name);
	look("program", NULL, path, &l);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, names[i])),
				 address_of("program", names[i], nth));
		assert_null(difference(&l, names[i]));
	}
	done(&l);
}

static void test_same_names(void **state)
{
	(void)state;
	static const char *const flags[] = {"-O2", "-O0", "-O2 -ffunction-sections -fdata-sections",
					    "-Os -fno-pie"};
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		for (int same = 0; same < 2; same++) {
			util_program(same ? "1" : "9", flags[i]);
			check_util("a", 0);
			check_util("b", 1);
		}
}

/* The object's own copy was left out, and one of the same name and bytes from another file is there. */
static void test_others_copy(void **state)
{
	(void)state;
	struct looked l;
	run("mkdir -p a b");
	static const char text[] =
		"static __attribute__((noinline, used)) int work(int x) { return x * 5; }\n"
		"int %c_do(int x) { return x + %s; }\n";
	for (int i = 0; i < 2; i++) {
		char source[512];
		snprintf(source, sizeof(source), text, 'a' + i, i ? "work(x)" : "1");
		put(i ? "b/util.c" : "a/util.c", source);
	}
	put("m.c",
	    "int a_do(int), b_do(int); int main(int c, char **v) { (void)v; return a_do(c) + b_do(c); }\n");
	run("for d in a b; do (cd $d && gcc -O2 -ffunction-sections -w -c util.c); done; gcc -O2 -c m.c && "
	    "gcc -Wl,--gc-sections -o program a/util.o b/util.o m.o");
	look("program", NULL, "a/util.o", &l);
	assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, "work")), PLACE_NONE);
	assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, "a_do")),
			 address_of("program", "a_do", 0));
	done(&l);
	look("program", NULL, "b/util.o", &l);
	assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, "work")),
			 address_of("program", "work", 0));
	done(&l);
}

/* Nothing tells two copies of one object apart that only its own variables know. */
static void test_ambiguous(void **state)
{
	(void)state;
	struct looked l;
	run("mkdir -p a b");
	for (int i = 0; i < 2; i++)
		put(i ? "b/util.c" : "a/util.c",
		    "static __attribute__((used)) int work(int x) { return x * 5; }\n");
	put("m.c", "int main(void) { return 0; }\n");
	run("for d in a b; do (cd $d && gcc -O2 -c util.c); done; gcc -O2 -c m.c && gcc -o program a/util.o "
	    "b/util.o m.o");
	struct usp_error *error = try_look("program", NULL, "a/util.o", &l);
	assert_non_null(error);
	assert_int_equal(error->code, USP_AMBIGUOUS);
	for (unsigned i = 0; i < 2; i++) {
		char address[32];
		snprintf(address, sizeof(address), "0x%lx", address_of("program", "work", i));
		assert_non_null(strstr(error->message, address));
	}
	assert_non_null(strstr(error->message, "work"));
	usp_error_destroy(error);
	done(&l);
}

static void test_stripped(void **state)
{
	(void)state;
	struct looked l;
	put_all();
	run("gcc -O2 -w -fPIE -c all.c other.c main.c && gcc -Wl,--build-id -pie -o program all.o other.o "
	    "main.o && "
	    "strip -o stripped program && gcc -Wl,--build-id=none -pie -o noid all.o other.o main.o");
	all_same("stripped", "program", "all.o");
	struct usp_error *error = try_look("stripped", "noid", "all.o", &l);
	assert_non_null(error);
	assert_int_equal(error->code, USP_MISMATCH);
	assert_non_null(strstr(error->message, "build-id"));
	usp_error_destroy(error);
	done(&l);
	/* Without any names nothing is found. */
	look("stripped", NULL, "all.o", &l);
	for (uint32_t i = 0; i < l.place.n; i++)
		assert_int_equal(l.place.sections[i], PLACE_NONE);
	done(&l);
	/* With what a library exports, its code is. */
	run("gcc -O2 -w -fPIC -c all.c other.c && gcc -shared -s -o libx.so all.o other.o");
	look("libx.so", NULL, "all.o", &l);
	assert_int_not_equal(place_of_piece(l.object, &l.place, piece(&l, "helper")), PLACE_NONE);
	assert_null(difference(&l, "helper"));
	assert_null(difference(&l, "pick"));
	done(&l);
}

static const char tls_c[] =
	"#define A(m) __attribute__((tls_model(m)))\n"
	"static __thread int gd_one A(\"global-dynamic\") = 5; static __thread int ld_one "
	"A(\"local-dynamic\");\n"
	"static __thread int ld_two A(\"local-dynamic\") = 7; extern __thread int ie_one "
	"A(\"initial-exec\");\n"
	"extern __thread int gd_extern A(\"global-dynamic\"); static __thread int ie_own "
	"A(\"initial-exec\");\n"
	"int gd(int x) { return gd_one += x; } int ge(int x) { return gd_extern += x; }\n"
	"int ld(int x) { ld_one += x; return ld_one * (ld_two -= x); } int ie(int x) { return ie_one += x; "
	"}\n"
	"int own(int x) { ie_own += x; return ie_own + gd_extern; } int *at(void) { return &ie_one; }\n";
static const char tls_other_c[] = "__thread int ie_one = 3, gd_extern; int pad(void) { return ie_one; }\n";
static const char tls_main_c[] =
	"int gd(int),ge(int),ld(int),ie(int),own(int),*at(void); int main(int c, char **v) "
	"{ (void)v; return gd(c)+ge(c)+ld(c)+ie(c)+own(c)+*at(); }\n";

static void test_tls(void **state)
{
	(void)state;
	static const char *const compile[] = {"-fPIC", "-fPIC -fno-plt", "-fPIC -mtls-dialect=gnu2",
					      "-fPIE -O0"};
	static const char *const link[] = {"-pie",
					   "-no-pie",
					   "-static",
					   "-shared",
					   "-pie -fuse-ld=gold",
					   "-pie -fuse-ld=lld",
					   "-no-pie -fuse-ld=lld",
					   "-shared -fuse-ld=lld"};
	put("tls.c", tls_c);
	put("o.c", tls_other_c);
	put("m.c", tls_main_c);
	for (size_t i = 0; i < sizeof(compile) / sizeof(*compile); i++) {
		run("gcc -O2 %s -c tls.c o.c m.c", compile[i]);
		for (size_t k = 0; k < sizeof(link) / sizeof(*link); k++) {
			if ((strstr(link[k], "lld") && !have("ld.lld")) ||
			    (strstr(link[k], "gold") && !have("ld.gold"))) {
				print_message("# not here: %s\n", link[k]);
				continue;
			}
			if (strstr(compile[i], "PIE") && strstr(link[k], "-shared"))
				continue; /* local-exec does not go into a library */
			run("gcc %s -o program tls.o o.o m.o", link[k]);
			all_same("program", NULL, "tls.o");
			all_same("program", NULL, "o.o");
		}
	}
}

/* A weak function is the object's only if the program has taken this one. */
static void test_weak(void **state)
{
	(void)state;
	struct looked l;
	put("w.c", "__attribute__((weak, noinline)) int hook(int x) { return x + 1; } int use(int x) { "
		   "return hook(x) * 2; }\n");
	put("s.c", "int hook(int x) { return x - 1; }\n");
	put("m.c", "int use(int); int main(int c, char **v) { (void)v; return use(c); }\n");
	static const char *const flags[] = {"-O2", "-O2 -ffunction-sections"};
	for (int i = 0; i < 2; i++) {
		run("gcc %s -c w.c s.c m.c && gcc -o own w.o m.o && gcc -o other w.o s.o m.o", flags[i]);
		look("own", NULL, "w.o", &l);
		assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, "hook")),
				 address_of("own", "hook", 0));
		assert_null(difference(&l, "use"));
		done(&l);
		look("other", NULL, "w.o", &l);
		assert_int_equal(place_of_piece(l.object, &l.place, piece(&l, "hook")), PLACE_NONE);
		assert_int_equal(
			place_of_symbol(l.object, &l.place, l.object->pieces[piece(&l, "hook")].symbol),
			address_of("other", "hook", 0));
		assert_null(difference(&l, "use"));
		done(&l);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_ways),       TEST(test_linkers),     TEST(test_left_out),  TEST(test_not_linked),
		TEST(test_same_names), TEST(test_others_copy), TEST(test_ambiguous), TEST(test_stripped),
		TEST(test_tls),	       TEST(test_weak),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
