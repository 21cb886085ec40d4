/* SPDX-License-Identifier: MIT */
/*
 * Runs instructions in this process with every register given, until a trap, and says what became of
 * registers, flags and memory. One block of memory holds all: code full of traps with a site in the middle,
 * data, a stack, and a place for pads on either side.
 */
#ifndef TESTS_DISPLACE_RUN_H
#define TESTS_DISPLACE_RUN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ucontext.h>

/* Offsets in the block; the distance of RUN_DATA and RUN_CALLEE from RUN_SITE is in the snippets, too. */
#define RUN_PAD_BELOW  0x1000
#define RUN_CODE       0x10000
#define RUN_CALLEE     (RUN_SITE - 0x1000) /* adds 5 to rax and returns */
#define RUN_SITE       0x18000
#define RUN_CODE_SIZE  0x10000
#define RUN_DATA       0x30000
#define RUN_DATA_SIZE  0x1000
#define RUN_STACK      0x40000
#define RUN_STACK_SIZE 0x2000
#define RUN_PAD_ABOVE  0x80000
#define RUN_BLOCK      0x100000
#define RUN_REGISTERS  18 /* r8 to eflags, in the order of the kernel's frame */

struct run_input {
	greg_t registers[RUN_REGISTERS]; /* REG_RIP: where to begin */
	uint8_t xmm[256];
};

struct run_output {
	int signal; /* what ended it; SIGTRAP: ran into a trap */
	greg_t registers[RUN_REGISTERS];
	uint8_t xmm[256];
	uint8_t data[RUN_DATA_SIZE], stack[RUN_STACK_SIZE];
};

extern uint8_t *run_block;

/* cmocka group set-up and tear-down. */
int run_setup(void **state);
int run_teardown(void **state);

/* Takes the signals, in each test anew: cmocka has its own handlers around every function that it calls. */
void run_catch(void);

/* The code area: traps, the callee, and these bytes at the site. */
void run_place(const uint8_t *bytes, size_t n);
/* Registers by number: pointers into code, data and stack where snippets want them, arbitrary ones elsewhere.
 */
void run_input(unsigned variant, struct run_input *ret);
#define RUN_VARIANTS 48
/* Data and stack: each of their words is the address of another trap. */
void run_fill(void);
void run_from(const struct run_input *input, uint64_t address, struct run_output *ret);

#endif
