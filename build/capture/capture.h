/* SPDX-License-Identifier: MIT */
/*
 * What a build compiles and links: runs the build's own command, watches every process of it come and go,
 * and keeps a copy of each object and each linked file as it was when the tool that wrote it had ended. Not
 * a wrapper in PATH: the processes are seen (ptrace), however they are called; no tool is replaced, no
 * option added. Knows nothing of what is in an object.
 *
 *	capture.c  the caller's side: starts the helper process, hears it, says why a build failed
 *	trace.c    the helper: follows each process from exec to exit
 *	start.c    starts the build's command under it
 *	tool.c     what a command line says: which files it writes, what a linker reads
 *	link.c     the inputs of a link, with their content's hash
 *	archive.c  the members of an archive
 *	file.c     the files, as the process saw them; copies of them
 *	log.c      what the helper tells the caller
 *	result.c   what of that is the result
 *
 * What it cannot see: what a compiler writes that runs outside of the build (a server that was there
 * before: distcc's and sccache's clients are seen instead, and the object that they bring), and what
 * rewrites an object in place (objcopy, strip). Both show as a link's input that no captured object has.
 * Processes that trace others themselves (gdb, strace, leak checkers) do not work in a build that is
 * watched; set-user-id programs have no more rights than their caller.
 */
#ifndef BUILD_CAPTURE_CAPTURE_H
#define BUILD_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "build/workdir.h"
#include "payload/hash.h"

/* A relocatable file that some tool wrote and that no linker made. */
struct capture_object {
	char *path;   /* absolute, without "." and ".." (taken away by name) */
	char *stored; /* the copy */
	uint8_t hash[PAYLOAD_HASH_SIZE];
	char *directory; /* where the compiler ran */
	char *command;	 /* its words with spaces between, for messages; not printable for sure */
};

struct capture_input {
	uint8_t hash[PAYLOAD_HASH_SIZE];
	char *path; /* "/a/main.o", "/a/libx.a(member.o)" */
};

/*
 * A file that a linker wrote. inputs: all that it was offered, each member of each archive, whether it took
 * it or not; what was itself linked (ld -r) in this build is not among them, but its inputs are. An input
 * with another content than every captured object was not made in this build, or was changed after it.
 */
struct capture_link {
	char *path;
	char *stored;
	uint8_t hash[PAYLOAD_HASH_SIZE];
	bool relocatable; /* ld -r */
	struct capture_input *inputs;
	size_t n_inputs;
};

/* Both in the order in which they were written. */
struct capture {
	/* Of several to one path the last, and such earlier ones whose content was linked meanwhile. */
	struct capture_object *objects;
	size_t n_objects;
	struct capture_link *links;
	size_t n_links;
};

struct capture_options {
	const char *const *command; /* NULL-terminated; command[0] is looked for in PATH */
	const char *directory;	    /* where the build runs; NULL: here */
	const char *store;	    /* a directory that is there; copies are named by their content's hash */
	const char *output;	    /* what the build says goes into this file */
	/* "NAME=value", NULL-terminated: in the place of what the environment has of that name; NULL: none. */
	const char *const *environment;
	/* Called from capture_run() when an object or a link is done: "gcc /a/main.o". NULL is fine. */
	void (*progress)(void *context, const char *tool_and_file, size_t n_objects);
	void *context;
};

/*
 * Runs the build and waits for its end. What it has left running then is ended as well: a server that went
 * on would compile for the next build, unseen. On SIGINT, SIGTERM, SIGHUP and SIGPIPE (those that the workdir
 * watches) all of it gets SIGTERM, after three seconds SIGKILL, and USP_FAILED is returned. If the caller
 * dies, the same happens.
 *
 * USP_FAILED: the build failed; the message ends with the last lines of what it said. USP_NOT_FOUND: there
 * is no such command. USP_PERMISSION: processes may not be traced here. *ret is empty after an error.
 */
_must_check_ struct usp_error *capture_run(const struct workdir *workdir,
					   const struct capture_options *options, struct capture *ret);
void capture_deinit(struct capture *capture);

#endif
