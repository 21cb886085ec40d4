/* SPDX-License-Identifier: MIT */
/*
 * Words for a terminal: what comes from a target is hostile, so nothing of it reaches the terminal that the
 * terminal would obey; colours; counted nouns.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * A copy of text in which control characters (C0, DEL, C1), invisible and direction-changing characters are
 * written as \xNN or \u{NNNN}, and bytes that are not UTF-8 as \xNN. keep_lines: newlines stay. Freed by the
 * caller; never NULL: when there is no memory, a static "?" comes back that text_free() knows.
 */
char *text_printable(const char *text, bool keep_lines);
void text_free(char *text);
void text_freep(char **text);

/* Columns that a printable text takes, near enough: its characters. */
int text_width(const char *printable);

/* "1 function", "3 functions". buf: 48 bytes. */
const char *text_count(uint64_t n, const char *noun, char buf[48]);

/* Name of a process in its own words (comm), printable, or NULL when it cannot be read. Freed by text_free().
 */
char *text_process_name(int pid);

/* "redis-server (4242)", or "process 4242". Freed by text_free(). */
char *text_process(int pid);

#endif
