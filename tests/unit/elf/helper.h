/* SPDX-License-Identifier: MIT */
/* Victims of the ELF tests: started, asked where their things lie, and taken apart. */
#ifndef ELF_HELPER_H
#define ELF_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "process/elf/symbols.h"

struct victim {
	pid_t pid;
	int input;		       /* it lives until this is closed */
	struct target *opened, target; /* a copy, which tests may change */
	struct maps maps;
	struct modules *modules;
	struct {
		char name[48];
		uint64_t value;
	} said[64];
	size_t n_said;
};

/* The full path of a built victim; static buffer. Skips the test when it was not built. */
const char *victim_path(const char *name);
/* Starts it (below root when that is not NULL), reads what it says, opens its modules. */
void victim_start(struct victim *victim, const char *path, const char *root);
void victim_reopen(struct victim *victim); /* maps and modules anew */
void victim_stop(struct victim *victim);
uint64_t victim_says(const struct victim *victim, const char *name);
struct module *victim_module(const struct victim *victim, const char *name);

/* Runs a command line and asserts that it succeeds. */
void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A fresh directory, static buffer. */
const char *make_directory(void);

/* Asserts success, or failure with this code; the latter gives the message (static buffer). */
void ok(struct usp_error *error);
const char *fails(struct usp_error *error, enum usp_code code);

#endif
