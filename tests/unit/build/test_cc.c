// SPDX-License-Identifier: MIT
/*
 * usp_cc() on small sources against the victims beside this file: what comes out, and each refusal.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <usplice/build.h>

#include "build/file.h"
#include "payload/payload.h"
#include "process/elf/module.h"

static char directory[] = "/tmp/usplice-test-cc-XXXXXX";
static char warnings[8192];

#define HEAD "#include <usplice/payload.h>\n"
#define FIX                                                 \
	HEAD "extern int counter; int local_helper(int);\n" \
	     "static int fixed(int x) { return local_helper(counter) + x; }\n"

static void take_log(void *context, enum usp_log_level level, const char *line)
{
	(void)context;
	size_t n = strlen(warnings);
	if (level == USP_LOG_WARNING)
		snprintf(warnings + n, sizeof(warnings) - n, "%s\n", line);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

/* An empty current directory for each test, which is also where intermediate files go. */
static int setup(void **state)
{
	(void)state;
	strcpy(strrchr(directory, '-'), "-XXXXXX");
	warnings[0] = '\0';
	if (!mkdtemp(directory) || chdir(directory) < 0 || setenv("TMPDIR", directory, 1) < 0)
		return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (chdir("/") < 0)
		return -1;
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const char *victim(const char *name)
{
	const char *path = getenv(name);
	if (!path)
		fail_msg("the environment must name the victim in %s", name);
	return path;
}

static struct usp_cc_options options_for(const char *target)
{
	static const char *const sources[] = {"fix.c"};
	return (struct usp_cc_options){.size = sizeof(struct usp_cc_options),
				       .sources = sources,
				       .n_sources = 1,
				       .output = "fix.usp",
				       .target = target,
				       .log = take_log};
}

static int entries(void)
{
	int n = 0;
	DIR *d = opendir(".");
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	closedir(d);
	return n;
}

/* Builds, expects success, and returns the payload as upload would read it. */
static struct payload *built(const struct usp_cc_options *options)
{
	struct usp_error *error = usp_cc(options);
	if (error)
		fail_msg("%s", error->message);
	uint8_t *bytes;
	size_t size;
	struct payload *payload;
	assert_null(file_read(options->output, PAYLOAD_FILE_MAX, &bytes, &size));
	error = payload_read(bytes, size, true, &payload);
	if (error)
		fail_msg("%s", error->message);
	free(bytes);
	return payload;
}

/* Builds source against target, expects this refusal, with these words in it, and nothing left behind. */
static void refused(const char *source, const char *target, enum usp_code code, const char *words)
{
	put("fix.c", source);
	struct usp_cc_options options = options_for(target);
	struct usp_error *error = usp_cc(&options);
	if (!error)
		fail_msg("it was built; expected: %s", words);
	if (error->code != code || !strstr(error->message, words))
		fail_msg("code %d, \"%s\"; expected %d, \"%s\"", error->code, error->message, code, words);
	usp_error_destroy(error);
	assert_int_equal(entries(), 1);
}

static void test_built(void **state)
{
	(void)state;
	put("fix.c", FIX "USPLICE_REPLACE(answer, fixed);\nUSPLICE_VERSION(\"1.2\");\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	struct payload *payload = built(&options);
	struct module *module;
	assert_null(module_open_file(victim("VICTIM"), &module));

	assert_string_equal(payload->name, "fix");
	assert_string_equal(payload->version, "1.2");
	assert_string_equal(payload->target_name, module->name);
	assert_int_equal(payload->target_build_id_size, module->build_id_size);
	assert_memory_equal(payload->target_build_id, module->build_id, module->build_id_size);
	assert_int_equal(payload->build_id_size, 20);
	assert_int_equal(payload->n_functions, 1);
	const struct payload_function *function = &payload->functions[0];
	uint8_t code[31];
	assert_true(function->old_size >= 9);
	size_t n = function->old_size < 31 ? function->old_size : 31;
	assert_int_equal(module_read_file(module, function->old_address, code, n), 0);
	assert_int_equal(function->expected_length, n);
	assert_memory_equal(function->expected, code, n);
	assert_non_null(function->hash);
	module_close(module);
	payload_destroy(payload);
	assert_int_equal(entries(), 2); /* fix.c, fix.usp */
	assert_string_equal(warnings, "");

	struct stat st;
	mode_t mask = umask(0);
	umask(mask);
	assert_int_equal(stat("fix.usp", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666 & ~mask);
}

static void test_same_input_same_bytes(void **state)
{
	(void)state;
	uint8_t *first, *second;
	size_t n_first, n_second;
	put("fix.c", FIX "USPLICE_REPLACE(answer, fixed);\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	payload_destroy(built(&options));
	assert_null(file_read("fix.usp", PAYLOAD_FILE_MAX, &first, &n_first));
	payload_destroy(built(&options));
	assert_null(file_read("fix.usp", PAYLOAD_FILE_MAX, &second, &n_second));
	assert_int_equal(n_first, n_second);
	assert_memory_equal(first, second, n_first);
	free(first);
	free(second);
}

/* Other expected bytes are another payload: the build-id covers what is filled in. */
static void test_build_id_covers_the_records(void **state)
{
	(void)state;
	put("fix.c", HEAD "static int fixed(int x) { return x; }\nUSPLICE_REPLACE(lib_answer, fixed);\n");
	struct usp_cc_options options = options_for(victim("VICTIM_LIB"));
	struct payload *first = built(&options);
	options.target = victim("VICTIM_LIB_2");
	struct payload *second = built(&options);
	assert_memory_not_equal(first->build_id, second->build_id, 20);
	payload_destroy(first);
	payload_destroy(second);
}

static void test_several_sources(void **state)
{
	(void)state;
	static const char *const sources[] = {"a.c", "b.c"};
	put("a.c", FIX "USPLICE_REPLACE(answer, fixed);\nUSPLICE_NAME(\"by-source\");\n");
	put("b.c",
	    HEAD "int two(int x);\nint two(int x) { return x + VALUE; }\nUSPLICE_REPLACE(copied, two);\n");
	static const char *const flags[] = {"-DVALUE=3", "-flto", "-O0", NULL};
	struct usp_cc_options options = options_for(victim("VICTIM"));
	options.sources = sources;
	options.n_sources = 2;
	options.flags = flags;
	options.compiler = "gcc";
	struct payload *payload = built(&options);
	assert_int_equal(payload->n_functions, 2);
	assert_string_equal(payload->name, "by-source");
	payload_destroy(payload);
	/* The copy that is not replaced is named. */
	assert_non_null(strstr(warnings, "copied.constprop.0"));
}

static void test_objects_and_clang(void **state)
{
	(void)state;
	static const char *const sources[] = {"-a.c"};
	put("-a.c", FIX "USPLICE_REPLACE(answer, fixed);\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	options.sources = sources;
	options.name = "given";
	struct payload *payload = built(&options);
	assert_string_equal(payload->name, "given");
	payload_destroy(payload);
	if (!access("/usr/bin/clang-14", X_OK)) {
		options.compiler = "clang-14";
		payload_destroy(built(&options));
	}
}

static void test_compiler_with_arguments(void **state)
{
	(void)state;
	put("fix.c", FIX "#ifndef FROM_CC\n#error no\n#endif\nUSPLICE_REPLACE(answer, fixed);\n");
	setenv("CC", " gcc  -DFROM_CC ", 1);
	struct usp_cc_options options = options_for(victim("VICTIM"));
	payload_destroy(built(&options));
	setenv("CC", "/nonexistent/cc", 1);
	struct usp_error *error = usp_cc(&options);
	unsetenv("CC");
	assert_non_null(error);
	assert_int_equal(error->code, USP_NOT_FOUND);
	assert_non_null(strstr(error->message, "/nonexistent/cc"));
	usp_error_destroy(error);
}

static void test_names(void **state)
{
	(void)state;
	const char *v = victim("VICTIM");
	refused(FIX "USPLICE_REPLACE(anwser, fixed);\n", v, USP_NOT_FOUND, "answer");
	refused(FIX "USPLICE_REPLACE(twin, fixed);\n", v, USP_AMBIGUOUS, "victim_twin.c");
	refused(FIX "int local_helpr(int);\nstatic int f(int x) { return local_helpr(x); "
		    "}\nUSPLICE_REPLACE(answer, f);\n",
		v, USP_NOT_FOUND, "local_helper");
	refused(HEAD "int twin(int);\nstatic int f(int x) { return twin(x); }\nUSPLICE_REPLACE(answer, f);\n",
		v, USP_AMBIGUOUS, "USPLICE_SYMBOL_IN");
	/* A global name that is there already. */
	refused(HEAD
		"int copied(int x);\nint copied(int x) { return x; }\nUSPLICE_REPLACE(answer, copied);\n",
		v, USP_EXISTS, "copied");
}

static void test_names_that_are_found(void **state)
{
	(void)state;
	put("fix.c",
	    HEAD "#include <stdio.h>\n#include <errno.h>\n"
		 "int twin(int);\nextern __thread int mine;\nextern int nobody(void) __attribute__((weak));\n"
		 "static int f(int x) { char b[32]; errno = 0; mine++; return twin(x) + sprintf(b, \"%d\", "
		 "x) + !nobody; }\n"
		 "USPLICE_REPLACE_IN(\"victim_twin.c\", twin, f);\nUSPLICE_SYMBOL_IN(\"victim.c\", twin);\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	struct payload *payload = built(&options);
	payload_destroy(payload);
	assert_string_equal(warnings, "");
}

static void test_what_cannot_be_patched(void **state)
{
	(void)state;
	const char *v = victim("VICTIM");
	refused(FIX "USPLICE_REPLACE(short_one, fixed);\n", v, USP_UNSUPPORTED, "short_one has only 4 bytes");
	refused(FIX "USPLICE_REPLACE(short_endbr, fixed);\n", v, USP_UNSUPPORTED,
		"short_endbr has only 8 bytes");
	refused(FIX "USPLICE_REPLACE(chosen, fixed);\n", v, USP_UNSUPPORTED, "IFUNC");
	refused(FIX "USPLICE_REPLACE(answer, fixed);\nUSPLICE_REPLACE(answer, fixed);\n", v, USP_BAD_PAYLOAD,
		"answer");
	refused(FIX "USPLICE_REPLACE(answer, fixed);\n", victim("VICTIM_NO_BUILD_ID"), USP_UNSUPPORTED,
		"--build-id");
	refused(FIX "USPLICE_REPLACE(answer, fixed);\n", "fix.c", USP_UNSUPPORTED, "fix.c");
	refused(FIX "USPLICE_REPLACE(answer, fixed);\n", "nothing", USP_NOT_FOUND, "nothing");
}

static void test_no_size(void **state)
{
	(void)state;
	put("fix.c", FIX "USPLICE_REPLACE(no_size, fixed);\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	struct usp_error *error = usp_cc(&options);
	assert_non_null(error);
	assert_non_null(strstr(error->message, "no_size"));
	usp_error_destroy(error);
}

static void test_nop(void **state)
{
	(void)state;
	const char *v = victim("VICTIM");
	put("fix.c", HEAD "USPLICE_NOP(known, 5, 3);\nUSPLICE_NOP(known, 8, 5);\n");
	struct usp_cc_options options = options_for(v);
	struct payload *payload = built(&options);
	assert_int_equal(payload->n_functions, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct payload_function *function = &payload->functions[i];
		assert_true(function->is_nop);
		assert_int_equal(function->old_size, 14);
		assert_int_equal(function->expected_length, function->nop_length);
		assert_int_equal(function->expected[0], function->nop_offset == 5 ? 0x83 : 0xb9);
	}
	payload_destroy(payload);
	unlink("fix.usp");
	refused(HEAD "USPLICE_NOP(known, 5, 2);\n", v, USP_MISMATCH, "cut an instruction");
	refused(HEAD "USPLICE_NOP(known, 6, 2);\n", v, USP_MISMATCH, "cut an instruction");
	refused(HEAD "USPLICE_NOP(known, 13, 2);\n", v, USP_MISMATCH, "it has only 14");
	refused(HEAD "USPLICE_NOP(known, 4294967295u, 31);\n", v, USP_MISMATCH, "it has only 14");
}

/* The new function clobbers rcx, which keeper() relies on; and one that does not. */
static void test_ipa_ra(void **state)
{
	(void)state;
	const char *v = victim("VICTIM_IPA");
	refused(HEAD "static int f(int x) { __asm__ volatile(\"movl $0, %%ecx\" ::: \"ecx\"); return x; }\n"
		     "USPLICE_REPLACE(quiet, f);\n",
		v, USP_MISMATCH, "keeper");
	/* One that calls out: all that the ABI allows is lost. */
	refused(HEAD "#include <stdlib.h>\nstatic int f(int x) { return abs(rand()) + x; "
		     "}\nUSPLICE_REPLACE(quiet, f);\n",
		v, USP_MISMATCH, "keeper");
	/* The clobber is in a function of the payload's that the new one calls. */
	refused(HEAD "__attribute__((noinline)) static int g(int x) { __asm__ volatile(\"movl $0, %%ecx\" "
		     "::: \"ecx\"); return x; }\n"
		     "static int f(int x) { return g(x) + 1; }\nUSPLICE_REPLACE(quiet, f);\n",
		v, USP_MISMATCH, "keeper");
	put("fix.c", HEAD "static int f(int x) { return x + 1; }\nUSPLICE_REPLACE(quiet, f);\n");
	struct usp_cc_options options = options_for(v);
	payload_destroy(built(&options));
}

static void test_hooks_only(void **state)
{
	(void)state;
	put("fix.c", HEAD "static void f(void) {}\nUSPLICE_LOAD_HOOK(f);\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	struct payload *payload = built(&options);
	assert_int_equal(payload->n_functions, 0);
	assert_int_equal(payload->n_hooks, 1);
	payload_destroy(payload);
}

static void test_refused_relocations(void **state)
{
	(void)state;
	refused(HEAD "__thread int fresh;\nstatic int f(int x) { return fresh += x; "
		     "}\nUSPLICE_REPLACE(answer, f);\n",
		victim("VICTIM"), USP_BAD_PAYLOAD, "thread-local");
	refused(HEAD "extern int counter;\nextern __thread int counter_tls __asm__(\"counter\");\n"
		     "static int f(int x) { return counter_tls += x; }\nUSPLICE_REPLACE(answer, f);\n",
		victim("VICTIM"), USP_MISMATCH, "thread-local");
}

/* Addresses of 32 bits are good ones beside a program that is not position-independent, and only there. */
static void test_no_pic(void **state)
{
	(void)state;
	static const char *const flags[] = {"-fno-pic", NULL};
	static const char source[] = HEAD "static int table[8] = {1, 2, 3};\n"
					  "static int f(int x) { return table[x & 7]++; }\n"
					  "USPLICE_REPLACE(answer, f);\n";
	struct usp_cc_options options = options_for(victim("VICTIM_NO_PIE"));
	options.flags = flags;
	put("fix.c", source);
	payload_destroy(built(&options));
	options.target = victim("VICTIM");
	struct usp_error *error = usp_cc(&options);
	assert_non_null(error);
	assert_int_equal(error->code, USP_BAD_PAYLOAD);
	assert_non_null(strstr(error->message, "compile with -fPIC (or -fPIE)"));
	usp_error_destroy(error);
}

static void test_compile_error(void **state)
{
	(void)state;
	refused("this is not C\n", victim("VICTIM"), USP_FAILED, "compiling fix.c failed");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	static const char *const none[] = {"none.c"};
	options.sources = none;
	struct usp_error *error = usp_cc(&options);
	assert_non_null(error);
	assert_int_equal(error->code, USP_NOT_FOUND);
	usp_error_destroy(error);
}

static void test_output(void **state)
{
	(void)state;
	put("fix.c", FIX "USPLICE_REPLACE(answer, fixed);\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	static const struct {
		const char *output;
		enum usp_code code;
	} bad[] = {{"no/such/directory/fix.usp", USP_NOT_FOUND},
		   {"bad name.usp", USP_USAGE},
		   {".usp", USP_USAGE},
		   {"/dev/null", USP_USAGE},
		   {"", USP_USAGE}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		options.output = bad[i].output;
		struct usp_error *error = usp_cc(&options);
		if (!error || error->code != bad[i].code)
			fail_msg("%s: %s", bad[i].output, error ? error->message : "built");
		usp_error_destroy(error);
		assert_int_equal(entries(), 1);
	}
	/* What was there stays when the build fails. */
	options = options_for(victim("VICTIM"));
	put("fix.usp", "old");
	put("fix.c", "no");
	struct usp_error *error = usp_cc(&options);
	assert_non_null(error);
	usp_error_destroy(error);
	uint8_t *bytes;
	size_t size;
	assert_null(file_read("fix.usp", 10, &bytes, &size));
	assert_memory_equal(bytes, "old", 3);
	free(bytes);
}

static void test_bad_options(void **state)
{
	(void)state;
	struct usp_cc_options good = options_for(victim("VICTIM"));
	struct usp_cc_options bad[7];
	for (size_t i = 0; i < 7; i++)
		bad[i] = good;
	bad[0].size = 0;
	bad[1].n_sources = 0;
	bad[2].output = NULL;
	bad[3].target = NULL;
	bad[4].pid = 1;
	bad[5].module = "libx.so";
	bad[6].target = NULL, bad[6].pid = -1;
	for (size_t i = 0; i < 7; i++) {
		struct usp_error *error = usp_cc(&bad[i]);
		if (!error || error->code != USP_USAGE)
			fail_msg("%zu: %s", i, error ? error->message : "built");
		usp_error_destroy(error);
	}
	struct usp_error *error = usp_cc(NULL);
	assert_non_null(error);
	usp_error_destroy(error);
}

static void test_two_names(void **state)
{
	(void)state;
	put("fix.c", FIX "USPLICE_REPLACE(answer, fixed);\nUSPLICE_NAME(\"one\");\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	options.name = "two";
	struct usp_error *error = usp_cc(&options);
	assert_non_null(error);
	assert_int_equal(error->code, USP_USAGE);
	usp_error_destroy(error);
	options.name = "one";
	payload_destroy(built(&options));
}

/* A signal while the compiler runs: the compiler is ended, nothing is left, and the signal does what it does.
 */
static void test_interrupted(void **state)
{
	(void)state;
	put("fix.c", FIX "USPLICE_REPLACE(answer, fixed);\n");
	/* Answers the question whether it can be run; then says that it runs, and waits for ever. */
	put("slow-cc", "#!/bin/sh\ncase \"$*\" in *-E*) exit 0;; esac\necho >\"$TMPDIR/stray\"\nexec "
		       "3>ready\nexec sleep 1000000\n");
	assert_int_equal(chmod("slow-cc", 0755), 0);
	assert_int_equal(mkfifo("ready", 0600), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child) {
		signal(SIGINT, SIG_DFL);
		struct usp_cc_options options = options_for(victim("VICTIM"));
		options.compiler = "./slow-cc";
		usp_error_destroy(usp_cc(&options));
		_exit(99); /* the signal was lost */
	}
	int fd = open("ready", O_RDONLY | O_CLOEXEC); /* until the compiler opens it */
	assert_true(fd >= 0);
	assert_int_equal(kill(child, SIGINT), 0);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
	/* The compiler is gone too: it held the other end. */
	char byte;
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	assert_int_equal(entries(), 3); /* fix.c, slow-cc, ready */
}

static void test_keep(void **state)
{
	(void)state;
	put("fix.c", FIX "USPLICE_REPLACE(answer, fixed);\n");
	struct usp_cc_options options = options_for(victim("VICTIM"));
	options.keep = true;
	payload_destroy(built(&options));
	assert_int_equal(entries(), 3);
	assert_non_null(strstr(warnings, directory));
}

/* A name that is only in a library: found beside the target; where that is not, the upload will tell. */
static void test_libraries(void **state)
{
	(void)state;
	put("fix.c", HEAD "extern int lib_counter;\nstatic int f(void) { return lib_counter; "
			  "}\nUSPLICE_REPLACE(main, f);\n");
	struct usp_cc_options options = options_for(victim("VICTIM_WITH_LIB"));
	payload_destroy(built(&options));
	assert_string_equal(warnings, "");

	uint8_t *bytes;
	size_t size;
	assert_null(file_read(victim("VICTIM_WITH_LIB"), 1 << 24, &bytes, &size));
	assert_null(file_write("elsewhere", bytes, size));
	free(bytes);
	options.target = "elsewhere";
	payload_destroy(built(&options));
	assert_non_null(strstr(warnings, "lib_counter"));
	assert_non_null(strstr(warnings, "libbuild-victim.so"));
}

/* A running victim; it ends when its standard input does. */
struct running {
	pid_t pid;
	int input;
};

static struct running started(const char *path)
{
	int in[2], out[2];
	char byte;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(path, path, "wait", NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 1); /* it has come to main() */
	close(out[0]);
	return (struct running){pid, in[1]};
}

static void ended(struct running running)
{
	int status;
	close(running.input);
	assert_int_equal(waitpid(running.pid, &status, 0), running.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0); /* looking did it no harm */
}

static void refused_by(pid_t pid, const char *module, const char *source, enum usp_code code,
		       const char *words)
{
	put("fix.c", source);
	struct usp_cc_options options = options_for(NULL);
	options.pid = pid;
	options.module = module;
	struct usp_error *error = usp_cc(&options);
	if (!error)
		fail_msg("it was built; expected: %s", words);
	if (error->code != code || !strstr(error->message, words))
		fail_msg("code %d, \"%s\"; expected %d, \"%s\"", error->code, error->message, code, words);
	usp_error_destroy(error);
}

static void test_process(void **state)
{
	(void)state;
	uint8_t *bytes, *by_file, *by_pid;
	size_t size, n_file, n_pid;
	put("fix.c",
	    FIX "#include <errno.h>\nextern __thread int mine;\n"
		"static int g(int x) { errno = 0; return fixed(x) + mine; }\nUSPLICE_REPLACE(answer, g);\n");
	assert_null(file_read(victim("VICTIM"), 1 << 24, &bytes, &size));
	assert_null(file_write("server", bytes, size));
	free(bytes);
	assert_int_equal(chmod("server", 0755), 0);
	struct usp_cc_options options = options_for("server");
	payload_destroy(built(&options));
	assert_null(file_read("fix.usp", PAYLOAD_FILE_MAX, &by_file, &n_file));

	/* Its file is gone; another is there now. What counts is what runs. */
	struct running running = started("./server");
	assert_int_equal(unlink("server"), 0);
	put("server", "not this one");
	options.target = NULL;
	options.pid = running.pid;
	payload_destroy(built(&options));
	assert_null(file_read("fix.usp", PAYLOAD_FILE_MAX, &by_pid, &n_pid));
	assert_int_equal(n_file, n_pid);
	assert_memory_equal(by_file, by_pid, n_file);
	free(by_file);
	free(by_pid);
	assert_string_equal(warnings, "");
	refused_by(running.pid, NULL, FIX "USPLICE_REPLACE(anwser, fixed);\n", USP_NOT_FOUND, "answer");
	refused_by(running.pid, NULL,
		   HEAD "int local_helpr(int);\nstatic int f(int x) { return local_helpr(x); "
			"}\nUSPLICE_REPLACE(answer, f);\n",
		   USP_NOT_FOUND, "local_helpr");
	ended(running);
	refused_by(running.pid, NULL, FIX "USPLICE_REPLACE(answer, fixed);\n", USP_NOT_FOUND, "");
}

static void test_process_module(void **state)
{
	(void)state;
#define LIB HEAD "extern int lib_counter;\nstatic int f(int x) { return lib_counter + x; }\n"
	struct running running = started(victim("VICTIM_WITH_LIB"));
	static const char *const names[] = {NULL, "libbuild-victim.so", "libbuild-victim"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		put("fix.c", LIB "USPLICE_REPLACE(lib_answer, f);\n");
		struct usp_cc_options options = options_for(NULL);
		options.pid = running.pid;
		options.module = names[i];
		struct payload *payload = built(&options);
		assert_string_equal(payload->target_name, "libbuild-victim.so");
		payload_destroy(payload);
	}
	refused_by(running.pid, "libnone.so", LIB "USPLICE_REPLACE(lib_answer, f);\n", USP_NOT_FOUND,
		   "libbuild-victim.so");
	refused_by(running.pid, NULL, LIB "USPLICE_REPLACE(lib_answer, f);\nUSPLICE_REPLACE(main, f);\n",
		   USP_NOT_FOUND, "make two");
	ended(running);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_built),
		TEST(test_same_input_same_bytes),
		TEST(test_build_id_covers_the_records),
		TEST(test_several_sources),
		TEST(test_objects_and_clang),
		TEST(test_compiler_with_arguments),
		TEST(test_names),
		TEST(test_names_that_are_found),
		TEST(test_what_cannot_be_patched),
		TEST(test_no_size),
		TEST(test_nop),
		TEST(test_ipa_ra),
		TEST(test_hooks_only),
		TEST(test_refused_relocations),
		TEST(test_no_pic),
		TEST(test_compile_error),
		TEST(test_output),
		TEST(test_bad_options),
		TEST(test_two_names),
		TEST(test_interrupted),
		TEST(test_keep),
		TEST(test_libraries),
		TEST(test_process),
		TEST(test_process_module),
	};
	unsetenv("CC");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
