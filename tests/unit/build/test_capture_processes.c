// SPDX-License-Identifier: MIT
/*
 * capture_run() and the processes of a build: it changes nothing for them, says why one failed, and leaves
 * none behind.
 */
#define _GNU_SOURCE
#include "capture_test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void expect(struct usp_error *error, enum usp_code code, const char *says)
{
	assert_non_null(error);
	if (error->code != code || !strstr(error->message, says))
		fail_msg("%d: %s", error->code, error->message);
	usp_error_destroy(error);
}

/* ---- builds that go wrong ---- */

static void test_fails(void **state)
{
	(void)state;
	struct capture capture;
	struct usp_error *error =
		try_script("gcc -c a.c; for i in $(seq 30); do echo line $i; done; exit 3", &capture);
	assert_non_null(error);
	assert_non_null(strstr(error->message, "status 3"));
	assert_non_null(strstr(error->message, ":\nline 11\n")); /* the last twenty */
	assert_string_equal(strstr(error->message, "line 30"), "line 30");
	expect(error, USP_FAILED, "sh ended");
	expect(try_script("exit 1", &capture), USP_FAILED, "it said nothing");
	expect(try_script("echo 'int x' >a.c; gcc -c a.c", &capture), USP_FAILED, "error: expected");
}

static void test_killed(void **state)
{
	(void)state;
	struct capture capture;
	expect(try_script("kill -SEGV $$", &capture), USP_FAILED, "signal 11 (Segmentation fault)");
	expect(try_script("kill -KILL $$", &capture), USP_FAILED, "signal 9");
}

static void test_no_command(void **state)
{
	(void)state;
	struct capture capture;
	const char *command[] = {"no-such-builder", NULL, NULL};
	expect(try_build(command, &capture), USP_NOT_FOUND, "no-such-builder cannot be run");
	command[0] = "./a.c";
	expect(try_build(command, &capture), USP_PERMISSION, "a.c cannot be run");
	command[0] = NULL;
	expect(try_build(command, &capture), USP_USAGE, "no build command");
}

static void test_bad_places(void **state)
{
	(void)state;
	struct workdir workdir;
	struct capture capture;
	assert_null(workdir_create(false, &workdir));
	const char *const command[] = {"gcc", "-c", "a.c", NULL};
	struct capture_options options = {.command = command, .store = "none", .output = "output"};
	expect(capture_run(&workdir, &options, &capture), USP_NOT_FOUND, "cannot keep what as wrote, ");
	options.store = "store";
	options.directory = "none";
	expect(capture_run(&workdir, &options, &capture), USP_NOT_FOUND, "cannot build in none");
	options.directory = NULL;
	options.output = "none/output";
	expect(capture_run(&workdir, &options, &capture), USP_NOT_FOUND, "cannot write none/output");
	workdir_destroy(&workdir);
}

/* A broken archive that the linker is given is not passed over. */
static void test_broken_archive(void **state)
{
	(void)state;
	struct capture capture;
	put("ld.c", "#include <stdlib.h>\nint main(void) { return system(\"cp a.o out\"); }\n");
	expect(try_script("gcc -c a.c; gcc ld.c -o ld; printf '!<arch>\\nx' >x.a; ./ld -o out x.a", &capture),
	       USP_BAD_PAYLOAD, "x.a is broken");
}

/* In a process of its own, which may not ptrace from now on. */
static void test_refused(void **state)
{
	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
			_exit(2);
		struct capture capture;
		struct usp_error *error = try_script("true", &capture);
		_exit(!error || error->code != USP_PERMISSION || !strstr(error->message, "SYS_PTRACE"));
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* ---- builds that go on as without us ---- */

static void test_signals(void **state)
{
	(void)state;
	struct capture capture =
		built("trap 'echo >trapped' USR1; kill -USR1 $$; test -f trapped; trap '' TERM; kill $$\n"
		      "(trap '' INT; kill -INT $(exec sh -c 'echo $PPID'); gcc -c a.c)\n"
		      "sh -c 'kill -TERM $$' || test $? = 143");
	assert_non_null(find_object(&capture, "a.o"));
	capture_deinit(&capture);
}

/* Stays stopped until somebody lets it go on, and only then. */
static void test_stopped(void **state)
{
	(void)state;
	put("s.c", "#include <signal.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
		   "int main(void) { int status; pid_t p = fork();\n"
		   "if (!p) { raise(SIGSTOP); execlp(\"gcc\", \"gcc\", \"-c\", \"a.c\", (char *)0); }\n"
		   "if (waitpid(p, &status, WUNTRACED) != p || !WIFSTOPPED(status)) return 1;\n"
		   "usleep(10000); if (!access(\"a.o\", F_OK)) return 2;\n"
		   "kill(p, SIGCONT);\n"
		   "if (waitpid(p, &status, WCONTINUED) != p || !WIFCONTINUED(status)) return 3;\n"
		   "return waitpid(p, &status, 0) != p || status; }\n");
	assert_int_equal(system("gcc s.c -o s"), 0);
	struct capture capture = built("./s");
	assert_non_null(find_object(&capture, "a.o"));
	capture_deinit(&capture);
}

/* Threads start compilers, too; and one of them executes another program in place of all. */
static void test_threads(void **state)
{
	(void)state;
	put("t.c", "#include <pthread.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
		   "static void *compile(void *x) { return system(\"gcc -c a.c\") ? x : 0; }\n"
		   "static void *become(void *x) { execlp(\"gcc\", \"gcc\", \"-c\", \"b.c\", (char *)0); "
		   "return x; }\n"
		   "static void *idle(void *x) { for (;;) pause(); return x; }\n"
		   "int main(void) { pthread_t t; pthread_create(&t, 0, idle, 0); pthread_create(&t, 0, "
		   "compile, 0);\n"
		   "pthread_join(t, 0); pthread_create(&t, 0, become, 0); for (;;) pause(); }\n");
	assert_int_equal(system("gcc -pthread t.c -o t"), 0);
	struct capture capture = built("./t");
	assert_non_null(find_object(&capture, "a.o"));
	assert_non_null(find_object(&capture, "b.o"));
	capture_deinit(&capture);
}

/* The caller's own children stay its own, also if it wants to know of none. */
static void test_callers_children(void **state)
{
	(void)state;
	int pipes[2], status;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(7);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0); /* it has ended */
	struct capture capture = built("gcc -c a.c");
	assert_int_equal(capture.n_objects, 1);
	capture_deinit(&capture);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 7);

	void (*before)(int) = signal(SIGCHLD, SIG_IGN);
	capture = built("gcc -c a.c; gcc -c b.c");
	signal(SIGCHLD, before);
	assert_int_equal(capture.n_objects, 2);
	capture_deinit(&capture);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- nothing stays behind ---- */

/* Whoever of the build still runs has the other end of this FIFO open. */
static void wait_for_nobody(int fd)
{
	char byte;
	ssize_t n;
	while ((n = read(fd, &byte, 1)) > 0 || (n < 0 && errno == EINTR))
		;
	assert_int_equal(n, 0);
}

static int open_fifo(void)
{
	assert_int_equal(mkfifo("alive", 0600), 0);
	int fd = open("alive", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

/* A server that the build has left: gone when capture_run() returns, so a read that does not wait says so. */
static void test_daemon(void **state)
{
	(void)state;
	_cleanup_close_ int fd = open_fifo();
	struct capture capture =
		built("exec 3>alive; gcc -c a.c\n"
		      "setsid sh -c 'trap \"\" HUP; (while :; do sleep 1000; done) & echo >ready; wait' &\n"
		      "until test -e ready; do :; done");
	assert_int_equal(capture.n_objects, 1);
	capture_deinit(&capture);
	wait_for_nobody(fd);
}

/* One that will not hear SIGTERM, and one that is stopped. */
static void test_stubborn(void **state)
{
	(void)state;
	_cleanup_close_ int fd = open_fifo();
	struct capture capture = built(
		"exec 3>alive; setsid sh -c 'trap \"\" TERM; echo >ready; while :; do sleep 1000; done' &\n"
		"sh -c 'kill -STOP $$' & until test -e ready; do :; done; gcc -c a.c");
	assert_int_equal(capture.n_objects, 1);
	capture_deinit(&capture);
	wait_for_nobody(fd);
}

/* In a child: builds until a signal comes; its status tells the rest. */
static pid_t start_build(const char *script)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child)
		return child;
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	struct workdir workdir;
	struct capture capture;
	const char *const command[] = {"sh", "-c", script, NULL};
	struct capture_options options = {.command = command, .store = "store", .output = "output"};
	struct usp_error *error = workdir_create(false, &workdir);
	if (error)
		_exit(97);
	error = capture_run(&workdir, &options, &capture);
	if (!error || !strstr(error->message, "interrupted") || capture.n_objects)
		_exit(98);
	usp_error_destroy(error);
	workdir_destroy(&workdir);
	_exit(99); /* the signal was lost */
}

static void wait_for_file(const char *path)
{
	while (access(path, F_OK))
		usleep(1000);
}

/* A signal to us: make gets SIGTERM, too, and removes what is half done; then the signal does what it does. */
static void test_interrupted(void **state)
{
	(void)state;
	put("Makefile", "half.o: ; echo >$@; echo >ready; sleep 1000000; echo never\n");
	static const int signals[] = {SIGTERM, SIGINT};
	for (size_t i = 0; i < 2; i++) {
		_cleanup_close_ int fd = open_fifo();
		pid_t child = start_build("exec 3>alive; (sleep 1000000 &); gcc -c a.c; make");
		wait_for_file("ready");
		assert_int_equal(kill(child, signals[i]), 0);
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
		wait_for_nobody(fd);
		assert_int_not_equal(access("half.o", F_OK), 0);
		assert_int_equal(unlink("ready"), 0);
		assert_int_equal(unlink("alive"), 0);
	}
}

/* We are killed, and cannot end anything. */
static void test_caller_killed(void **state)
{
	(void)state;
	_cleanup_close_ int fd = open_fifo();
	pid_t child = start_build("exec 3>alive; setsid sleep 1000000 & echo >ready; sleep 1000000");
	wait_for_file("ready");
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* waits from now on */
	wait_for_nobody(fd);
}

/* The helper is killed: the kernel ends the build with it. */
static void test_helper_killed(void **state)
{
	(void)state;
	_cleanup_close_ int fd = open_fifo();
	struct capture capture;
	/* The build's parent is the helper. */
	expect(try_script("exec 3>alive; gcc -c a.c; kill -KILL $PPID; sleep 1000000", &capture), USP_FAILED,
	       "ended before its time");
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	wait_for_nobody(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_fails),	   CASE(test_killed),
		CASE(test_no_command),	   CASE(test_bad_places),
		CASE(test_broken_archive), CASE(test_refused),
		CASE(test_signals),	   CASE(test_stopped),
		CASE(test_threads),	   CASE(test_callers_children),
		CASE(test_daemon),	   CASE(test_stubborn),
		CASE(test_interrupted),	   CASE(test_caller_killed),
		CASE(test_helper_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
