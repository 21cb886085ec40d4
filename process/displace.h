/* SPDX-License-Identifier: MIT */
/*
 * Pads: copies of a site's instructions that run elsewhere, for the threads that hit the gate and must still
 * go on in the old code. Only makes the bytes: touches no process, and decides nothing about who runs them.
 *
 * A pad is kept until no thread is inside it, and must be readable as well as executable (return addresses
 * that it pushes lie in it). A thread inside a pad is inside the function. No unwind information covers it; a
 * pad of one instruction is easily told: at its start it stands for `address`, anywhere else in the copy of a
 * call for that call, and behind the copy for address + *covered.
 *
 * What can tell the difference nevertheless: a signal handler that looks at the interrupted instruction
 * pointer (fault, trap, profiler); a call through memory that cannot be read faults with its return address
 * pushed already, and one whose target lies just where calls push reads that (refused where the operand shows
 * it); the address that the x87 unit keeps of its last instruction; threads with a shadow stack (user-space
 * CET, out of scope: a call is made by a push and a jump, and its return would fault).
 */
#ifndef PROCESS_DISPLACE_H
#define PROCESS_DISPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"

#define DISPLACE_SITE_MAX   31	/* bytes of a site */
#define DISPLACE_LOOK_AHEAD 15	/* bytes beyond it that its last instruction may need */
#define DISPLACE_MAX	    256 /* bytes of a pad */

/*
 * Makes the pad: the whole instructions of code[] (n bytes, as they stand at `address`; give
 * DISPLACE_LOOK_AHEAD bytes beyond the site where there are) that overlap [address, address + length),
 * rewritten so that running them at pad_address does what running them at `address` does (registers, flags,
 * memory, the return addresses that calls push, rcx after a system call), followed by a jump to the first
 * instruction behind them. *size: bytes of the pad; *covered: bytes of original code that it stands for, at
 * least length.
 *
 * A branch to displaced bytes goes to their copy; a call of `address` itself goes to the original entry, as
 * any call does. Behind a jump or return that nothing displaced jumps over, nothing is copied and nothing
 * follows in the pad. A call is the last of its pad: it returns to the original code behind it.
 *
 * USP_USAGE: length is 0, more than DISPLACE_SITE_MAX or more than n, or the bytes wrap around.
 * USP_UNSUPPORTED, naming the instruction and its address: it cannot be decoded; it, or the jump at the end,
 * does not reach from pad_address (keep the pad within 2 GiB of the module); a call would return into the
 * site; a branch into the middle of a displaced instruction; an operand in the displaced bytes; 32-bit
 * RIP-relative addressing; a branch or call with an operand-size prefix (processors differ); a far call; a
 * call through rsp, or memory at it that the push overwrites. Nothing is stored in *size and *covered then.
 */
_must_check_ struct usp_error *displace(const uint8_t *code, size_t n, uint64_t address, size_t length,
					uint64_t pad_address, uint8_t pad[DISPLACE_MAX], size_t *size,
					size_t *covered);

/*
 * Whether code (size bytes at address: a function, or one of its pieces; ask for each) may enter the site
 * anywhere but at its start, so that its bytes cannot be rewritten while the old code still runs, pads or
 * not. True when an address strictly inside (site, site + length)
 *  - is the target of a direct branch or call, or where a call returns to;
 *  - is taken, by lea or as a number;
 *  - begins an instruction (or the code does not show whether one does), and the code has an indirect jump
 * through a register or a computed address. Tables lie outside the code and are not read, and a tail call
 * through a function pointer looks the same: both count as jumps that could go there. A jump through one
 * fixed slot (jmp *slot(%rip)) is taken for a tail call to another module; and when the code cannot be
 * decoded to its end. Data in between that happens to decode goes unnoticed. A site of one byte cannot be
 * entered like that: false.
 */
bool displace_enters_site(const uint8_t *code, size_t size, uint64_t address, uint64_t site, size_t length);

#endif
