/* SPDX-License-Identifier: MIT */
/*
 * --timeline FILE: what happened in an action, in the "trace event format" that ui.perfetto.dev and
 * chrome://tracing load. One file for all processes of a command: each is a group of its own with a track for
 * each thread, and the phases of the actions are one track of usplice's. The file is opened before anything
 * is done to a process, and written when an action is over, never while one is under way.
 */
#ifndef CLI_TIMELINE_H
#define CLI_TIMELINE_H

#include <usplice/timeline.h>

#include "cli/cli.h"

struct timeline_file;

/* *ret NULL: none is asked for; the functions below take that. A file that cannot be written is reported; the
 * result is the exit code. An existing file keeps what is in it until the first timeline_file_add(). */
enum usp_code timeline_file_open(struct cli *cli, struct timeline_file **ret);

/* For the next action's options; freed by timeline_file_add(). NULL: none is asked for, or there is no memory
 * for it (reported: the action goes on without). */
struct usp_timeline *timeline_file_begin(struct cli *cli, struct timeline_file *file);
/* What the action on process pid was, and how it ended. Takes timeline; NULL is fine. */
void timeline_file_add(struct cli *cli, struct timeline_file *file, struct usp_timeline *timeline, pid_t pid,
		       const char *payload, enum usp_code code);

/* Ends and frees. A file that was made for nothing is removed. USP_FAILED, reported: it could not be written.
 */
enum usp_code timeline_file_close(struct cli *cli, struct timeline_file *file);

#endif
