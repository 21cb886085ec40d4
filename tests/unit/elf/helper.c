// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "helper.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

const char *victim_path(const char *name)
{
	static char path[PATH_MAX];
	const char *directory = getenv("ELF_VICTIMS");
	snprintf(path, sizeof(path), "%s/%s", directory ? directory : ".", name);
	if (access(path, R_OK) != 0) {
		if (!strstr(name, "musl") && !strstr(name, "clang"))
			fail_msg("%s was not built", path);
		skip(); /* no such compiler here */
	}
	return path;
}

static void hear(struct victim *victim, FILE *out)
{
	char line[256];
	while (fgets(line, sizeof(line), out)) {
		if (strcmp(line, "ready\n") == 0)
			return;
		assert_true(victim->n_said < 64);
		assert_int_equal(sscanf(line, "%47s %lx", victim->said[victim->n_said].name,
					&victim->said[victim->n_said].value),
				 2);
		victim->n_said++;
	}
	fail_msg("the victim ended early");
}

void victim_start(struct victim *victim, const char *path, const char *root)
{
	int in[2], out[2];
	memset(victim, 0, sizeof(*victim));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	victim->pid = fork();
	assert_true(victim->pid >= 0);
	if (victim->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		if (root && (chroot(root) < 0 || chdir("/") < 0))
			_exit(126);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	victim->input = in[1];
	FILE *said = fdopen(out[0], "r");
	hear(victim, said);
	fclose(said);
	ok(target_open(victim->pid, &victim->opened));
	victim->target = *victim->opened;
	ok(maps_read(&victim->target, &victim->maps));
	ok(modules_open(&victim->target, &victim->maps, &victim->modules));
}

void victim_reopen(struct victim *victim)
{
	modules_close(victim->modules);
	maps_deinit(&victim->maps);
	ok(maps_read(&victim->target, &victim->maps));
	ok(modules_open(&victim->target, &victim->maps, &victim->modules));
}

void victim_stop(struct victim *victim)
{
	modules_close(victim->modules);
	maps_deinit(&victim->maps);
	target_close(victim->opened);
	close(victim->input);
	waitpid(victim->pid, NULL, 0);
}

uint64_t victim_says(const struct victim *victim, const char *name)
{
	for (size_t i = 0; i < victim->n_said; i++)
		if (strcmp(victim->said[i].name, name) == 0)
			return victim->said[i].value;
	fail_msg("the victim said nothing of %s", name);
	return 0;
}

struct module *victim_module(const struct victim *victim, const char *name)
{
	for (size_t i = 0; i < victim->modules->n; i++)
		if (strcmp(victim->modules->v[i]->name, name) == 0)
			return victim->modules->v[i];
	fail_msg("no module %s", name);
	return NULL;
}

void run(const char *format, ...)
{
	char command[8192];
	va_list ap;
	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

const char *make_directory(void)
{
	static char path[64];
	snprintf(path, sizeof(path), "/tmp/usplice-elf-XXXXXX");
	assert_non_null(mkdtemp(path));
	return path;
}

void ok(struct usp_error *error)
{
	if (error)
		fail_msg("%s", error->message);
}

const char *fails(struct usp_error *error, enum usp_code code)
{
	static char message[4096];
	assert_non_null(error);
	snprintf(message, sizeof(message), "%s", error->message);
	if (error->code != code)
		fail_msg("code %d, not %d: %s", (int)error->code, (int)code, message);
	usp_error_destroy(error);
	return message;
}
