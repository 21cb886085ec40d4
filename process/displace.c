// SPDX-License-Identifier: MIT
#include "process/displace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "process/decoder.h"

#define NO_COPY 0xffff /* no pad is that long */

#define GROWTH_MAX 7 /* bytes that any instruction but a call grows by: jrcxz, loop and syscall, 2 to 9 */
#define CALL_MAX   (6 + ZYDIS_MAX_INSTRUCTION_LENGTH + 8) /* push, jump, return address */
/* Only instructions of two bytes and more grow, and the last one of a site may reach out of it. */
_Static_assert((DISPLACE_SITE_MAX - 1) / 2 * (2 + GROWTH_MAX) +
			       (CALL_MAX > ZYDIS_MAX_INSTRUCTION_LENGTH + GROWTH_MAX
					? CALL_MAX
					: ZYDIS_MAX_INSTRUCTION_LENGTH + GROWTH_MAX) +
			       5 <=
		       DISPLACE_MAX,
	       "every pad fits");

/* One instruction where it stands. */
struct original {
	const uint8_t *bytes;
	uint64_t address;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

struct job {
	const uint8_t *code;
	size_t n;
	uint64_t address; /* of the site */
	size_t length;
	uint64_t pad_address;
	uint8_t *pad;
	size_t size;
	struct original now;		    /* what is being copied */
	uint16_t copies[DISPLACE_SITE_MAX]; /* by offset in the site: where in the pad its copy begins */
	struct {
		uint64_t from;	     /* the branch, for the message */
		size_t at, target;   /* its displacement's place in the pad; offset in the site */
	} inward[DISPLACE_SITE_MAX]; /* branches to displaced bytes */
	size_t n_inward;
	bool ends; /* control does not go on behind it */
};

static bool decode(const uint8_t *bytes, size_t n, uint64_t address, struct original *ret)
{
	ret->bytes = bytes;
	ret->address = address;
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_x86_64, bytes, n, &ret->insn, ret->operands));
}

static uint64_t end_of(const struct original *o)
{
	return o->address + o->insn.length;
}

static bool has_prefix(const struct original *o, uint8_t prefix)
{
	for (unsigned i = 0; i < o->insn.raw.prefix_count; i++)
		if (o->insn.raw.prefixes[i].value == prefix)
			return true;
	return false;
}

static bool is_relative(const struct original *o)
{
	return o->insn.raw.imm[0].is_relative;
}

static uint64_t target_of(const struct original *o)
{
	return end_of(o) + (uint64_t)o->insn.raw.imm[0].value.s;
}

/* Without REX.W, Intel ignores the prefix before a branch and AMD truncates displacement and target. */
static bool is_vendors_choice(const struct original *o)
{
	return has_prefix(o, 0x66) && !o->insn.raw.rex.W;
}

/* The operand that is addressed from the instruction pointer, or NULL. */
static const ZydisDecodedOperand *rip_operand(const struct original *o)
{
	for (unsigned i = 0; i < o->insn.operand_count; i++)
		if (o->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (o->operands[i].mem.base == ZYDIS_REGISTER_RIP ||
		     o->operands[i].mem.base == ZYDIS_REGISTER_EIP))
			return &o->operands[i];
	return NULL;
}

static uint64_t rip_address(const struct original *o, const ZydisDecodedOperand *operand)
{
	return end_of(o) + (uint64_t)operand->mem.disp.value;
}

_must_check_ static struct usp_error *refuse(const struct original *o, const char *why)
{
	ZydisFormatter formatter;
	char text[128];
	if (!ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &o->insn, o->operands,
							  o->insn.operand_count_visible, text, sizeof(text),
							  o->address, NULL)))
		snprintf(text, sizeof(text), "?");
	return usp_errorf(USP_UNSUPPORTED,
			  "the instruction \"%s\" at 0x%" PRIx64 " cannot be run elsewhere: %s", text,
			  o->address, why);
}

static void put(struct job *job, const void *bytes, size_t n)
{
	memcpy(job->pad + job->size, bytes, n);
	job->size += n;
}

#define PUT(job, ...) put(job, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The displacement, at offset `at` in the pad, of an instruction that ends at offset `end` there. */
static bool set_displacement(struct job *job, size_t at, size_t end, uint64_t target)
{
	int64_t distance = (int64_t)(target - (job->pad_address + end));
	int32_t displacement = (int32_t)distance;
	memcpy(job->pad + at, &displacement, sizeof(displacement));
	return displacement == distance;
}

_must_check_ static struct usp_error *refuse_distance(const struct job *job, uint64_t target)
{
	char why[128];
	snprintf(why, sizeof(why),
		 "what it refers to at 0x%" PRIx64 " is more than 2 GiB away from the pad at 0x%" PRIx64,
		 target, job->pad_address);
	return refuse(&job->now, why);
}

/* The last four bytes of a branch to target. */
_must_check_ static struct usp_error *put_target(struct job *job, uint64_t target, bool is_inside)
{
	size_t at = job->size;
	PUT(job, 0, 0, 0, 0);
	if (is_inside) {
		job->inward[job->n_inward].from = (size_t)(job->now.address - job->address);
		job->inward[job->n_inward].at = at;
		job->inward[job->n_inward++].target = (size_t)(target - job->address);
		return NULL;
	}
	return set_displacement(job, at, job->size, target) ? NULL : refuse_distance(job, target);
}

/* A copy with a new displacement; opcode and operands stay, so does the length. */
_must_check_ static struct usp_error *put_rip_operand(struct job *job, const ZydisDecodedOperand *operand)
{
	const struct original *now = &job->now;
	uint64_t where = rip_address(now, operand), bytes = (uint64_t)operand->size / 8;
	if (operand->mem.base == ZYDIS_REGISTER_EIP)
		return refuse(now, "it forms an address from the lower half of the instruction pointer");
	bool is_based =
		operand->mem.segment == ZYDIS_REGISTER_FS || operand->mem.segment == ZYDIS_REGISTER_GS;
	/* Two ranges overlap when either begins in the other. */
	if (operand->mem.type == ZYDIS_MEMOP_TYPE_MEM && !is_based &&
	    (where - job->address < job->length || job->address - where < bytes))
		return refuse(now, "its operand lies in the bytes that are being rewritten");
	size_t start = job->size;
	put(job, now->bytes, now->insn.length);
	return set_displacement(job, start + now->insn.raw.disp.offset, job->size, where)
		       ? NULL
		       : refuse_distance(job, where);
}

/*
 * A call's push, with its return address still to come: `push literal(%rip)` stores the eight bytes at once
 * and touches neither registers nor flags, as call does. Returns the place of its displacement.
 */
static size_t put_push(struct job *job)
{
	PUT(job, 0xff, 0x35, 0, 0, 0, 0);
	return job->size - 4;
}

/* The literal itself, behind the jump, where nothing runs into it. */
static void put_return_address(struct job *job, size_t push)
{
	uint64_t address = end_of(&job->now);
	set_displacement(job, push, push + 4, job->pad_address + job->size);
	put(job, &address, sizeof(address));
}

_must_check_ static struct usp_error *check_call(const struct job *job)
{
	if (end_of(&job->now) - job->address < job->length)
		return refuse(&job->now, "it would return into the bytes that are being rewritten");
	return NULL;
}

/* Branches and calls whose target is in the instruction, each in its form with 32 bits of displacement. */
_must_check_ static struct usp_error *put_relative(struct job *job)
{
	const struct original *now = &job->now;
	uint64_t target = target_of(now);
	uint8_t opcode = now->insn.opcode;
	bool is_inside = target - job->address < job->length;
	struct usp_error *error;
	if (is_vendors_choice(now))
		return refuse(now, "processors disagree about its operand-size prefix");
	if (now->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return refuse(now, "it is a kind of branch that is not known here");
	/* Of the prefixes only bnd means anything before a jump; a hint is one. */
	bool is_bound = has_prefix(now, 0xf2);
	if (now->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && opcode >= 0x80 && opcode <= 0x8f) {
		if (is_bound)
			PUT(job, 0xf2);
		PUT(job, 0x0f, opcode);
		return put_target(job, target, is_inside);
	}
	if (now->insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return refuse(now, "it is a kind of branch that is not known here");
	switch (opcode) {
	case 0x70 ... 0x7f:
		if (is_bound)
			PUT(job, 0xf2);
		PUT(job, 0x0f, (uint8_t)(opcode + 0x10));
		return put_target(job, target, is_inside);
	case 0xe0 ... 0xe3: /* loopne, loope, loop, jrcxz: there is no long form, so a hop to a long jump */
		if (has_prefix(now, 0x67))
			PUT(job, 0x67);
		PUT(job, opcode, 2, 0xeb, 5, 0xe9);
		return put_target(job, target, is_inside);
	case 0xe8: {
		error = check_call(job);
		if (error)
			return error;
		size_t push = put_push(job);
		if (is_bound)
			PUT(job, 0xf2);
		PUT(job, 0xe9);
		/* A call of the site's start is a call like any other: by the front door. */
		error = put_target(job, target, is_inside && target != job->address);
		if (error)
			return error;
		put_return_address(job, push);
		return NULL;
	}
	case 0xe9:
	case 0xeb:
		if (is_bound)
			PUT(job, 0xf2);
		PUT(job, 0xe9);
		return put_target(job, target, is_inside);
	case 0xc7: /* xbegin: where an abort goes */
		PUT(job, 0xc7, 0xf8);
		return put_target(job, target, is_inside);
	default:
		return refuse(now, "it is a kind of branch that is not known here");
	}
}

/* `call *operand` becomes a push and `jmp *operand`, which differ in three bits of the ModRM byte alone. */
_must_check_ static struct usp_error *put_indirect_call(struct job *job)
{
	const struct original *now = &job->now;
	const ZydisDecodedOperand *operand = &now->operands[0], *rip = rip_operand(now);
	size_t modrm = now->insn.raw.modrm.offset;
	struct usp_error *error;
	if (now->insn.opcode != 0xff || now->insn.raw.modrm.reg != 2)
		return refuse(now, "it is a far call");
	if (is_vendors_choice(now))
		return refuse(now, "processors disagree about its operand-size prefix");
	if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER && operand->reg.value == ZYDIS_REGISTER_RSP)
		return refuse(now, "it calls the stack pointer, which its own push moves");
	error = check_call(job);
	if (error)
		return error;
	size_t push = put_push(job), jump = job->size;
	if (rip) {
		error = put_rip_operand(job, rip);
		if (error)
			return error;
	} else if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		   (operand->mem.base == ZYDIS_REGISTER_RSP || operand->mem.base == ZYDIS_REGISTER_ESP)) {
		/* The push has moved rsp by then. Prefixes, opcode, ModRM, SIB, and 32 bits of displacement.
		 */
		int64_t at = operand->mem.disp.value, moved = at + 8;
		if (at > -16 && at < 0)
			return refuse(now, "its operand lies where it pushes its return address");
		if (moved > INT32_MAX)
			return refuse(now, "its operand's displacement cannot grow");
		if (modrm + 6 > ZYDIS_MAX_INSTRUCTION_LENGTH)
			return refuse(now, "it has too many prefixes");
		int32_t displacement = (int32_t)moved;
		put(job, now->bytes, modrm + 2);
		job->pad[jump + modrm] = (uint8_t)((job->pad[jump + modrm] & 0x3f) | 0x80);
		put(job, &displacement, sizeof(displacement));
	} else {
		put(job, now->bytes, now->insn.length);
	}
	job->pad[jump + modrm] = (uint8_t)((job->pad[jump + modrm] & 0xc7) | 4 << 3);
	put_return_address(job, push);
	return NULL;
}

/* The system call leaves the address behind it in rcx, as well as its result in rax. lea changes no flags. */
_must_check_ static struct usp_error *put_syscall(struct job *job)
{
	put(job, job->now.bytes, job->now.insn.length);
	PUT(job, 0x48, 0x8d, 0x0d, 0, 0, 0, 0);
	return set_displacement(job, job->size - 4, job->size, end_of(&job->now))
		       ? NULL
		       : refuse_distance(job, end_of(&job->now));
}

_must_check_ static struct usp_error *put_copy(struct job *job)
{
	const struct original *now = &job->now;
	const ZydisDecodedOperand *rip = rip_operand(now);
	bool is_call = now->insn.meta.category == ZYDIS_CATEGORY_CALL;
	/* By mnemonic: the category of jumps has xabort in it, which goes on outside a transaction. */
	job->ends = is_call || now->insn.mnemonic == ZYDIS_MNEMONIC_JMP ||
		    now->insn.meta.category == ZYDIS_CATEGORY_RET;
	if (is_relative(now))
		return put_relative(job);
	if (is_call)
		return put_indirect_call(job);
	if (now->insn.mnemonic == ZYDIS_MNEMONIC_SYSCALL)
		return put_syscall(job);
	if (rip)
		return put_rip_operand(job, rip);
	put(job, now->bytes, now->insn.length);
	return NULL;
}

/* Whether a displaced branch goes to what lies at or behind this offset. */
static bool is_jumped_over(const struct job *job, size_t offset)
{
	for (size_t i = 0; i < job->n_inward; i++)
		if (job->inward[i].target >= offset)
			return true;
	return false;
}

_must_check_ static struct usp_error *join_inward(struct job *job)
{
	for (size_t i = 0; i < job->n_inward; i++) {
		size_t at = job->inward[i].at, from = job->inward[i].from,
		       copy = job->copies[job->inward[i].target];
		if (copy == NO_COPY) {
			if (!decode(job->code + from, job->n - from, job->address + from, &job->now))
				return usp_errorf(USP_FAILED, "what was decoded once cannot be again");
			return refuse(&job->now,
				      "it goes into the middle of another that is displaced with it");
		}
		set_displacement(job, at, at + 4, job->pad_address + copy); /* never far */
	}
	return NULL;
}

struct usp_error *displace(const uint8_t *code, size_t n, uint64_t address, size_t length,
			   uint64_t pad_address, uint8_t pad[DISPLACE_MAX], size_t *size, size_t *covered)
{
	struct job job = {.code = code,
			  .n = n,
			  .address = address,
			  .length = length,
			  .pad_address = pad_address,
			  .pad = pad};
	struct usp_error *error;
	size_t offset = 0;
	if (!length || length > DISPLACE_SITE_MAX || length > n || address + n < address ||
	    pad_address + DISPLACE_MAX < pad_address)
		return usp_errorf(USP_USAGE,
				  "no pad can be made of %zu of %zu bytes at 0x%" PRIx64 " for 0x%" PRIx64,
				  length, n, address, pad_address);
	for (size_t i = 0; i < DISPLACE_SITE_MAX; i++)
		job.copies[i] = NO_COPY;
	while (offset < length) {
		if (!decode(code + offset, n - offset, address + offset, &job.now))
			return usp_errorf(USP_UNSUPPORTED, "no instruction can be decoded at 0x%" PRIx64,
					  address + offset);
		job.copies[offset] = (uint16_t)job.size;
		offset += job.now.insn.length;
		error = put_copy(&job);
		if (error)
			return error;
		if (job.ends && !is_jumped_over(&job, offset))
			break;
	}
	if (offset < length)
		offset = length;
	error = join_inward(&job);
	if (error)
		return error;
	if (!job.ends) {
		PUT(&job, 0xe9);
		error = put_target(&job, address + offset, false);
		if (error)
			return error;
	}
	*size = job.size;
	*covered = offset;
	return NULL;
}

static bool is_within(uint64_t address, uint64_t site, size_t length)
{
	return address - site - 1 < length - 1;
}

/* Whether an operand names an address strictly inside the site, to be used for whatever. */
static bool takes_address(const struct original *o, uint64_t site, size_t length)
{
	for (unsigned i = 0; i < o->insn.operand_count_visible; i++) {
		const ZydisDecodedOperand *operand = &o->operands[i];
		if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    is_within(operand->imm.value.u, site, length))
			return true;
		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    operand->mem.type == ZYDIS_MEMOP_TYPE_AGEN && operand->mem.base == ZYDIS_REGISTER_RIP &&
		    is_within(rip_address(o, operand), site, length))
			return true;
	}
	return false;
}

bool displace_enters_site(const uint8_t *code, size_t size, uint64_t address, uint64_t site, size_t length)
{
	struct original now;
	bool jumps_anywhere = false, has_boundary = false, has_start = false;
	if (length <= 1)
		return false;
	for (size_t offset = 0; offset < size; offset += now.insn.length) {
		if (!decode(code + offset, size - offset, address + offset, &now))
			return true;
		has_start |= now.address == site;
		has_boundary |= is_within(now.address, site, length);
		if (is_relative(&now)) {
			if (is_vendors_choice(&now) || is_within(target_of(&now), site, length))
				return true;
		} else if (now.insn.mnemonic == ZYDIS_MNEMONIC_JMP) {
			const ZydisDecodedOperand *rip = rip_operand(&now);
			jumps_anywhere |= !rip;
		} else if (takes_address(&now, site, length)) {
			return true;
		}
		if (now.insn.meta.category == ZYDIS_CATEGORY_CALL && is_within(end_of(&now), site, length))
			return true;
	}
	/* Tables hold addresses of instructions; where all of the site's are known to begin at its start,
	 * none of them goes inside. */
	bool is_whole = has_start && site + length - address <= size;
	return jumps_anywhere && (has_boundary || !is_whole);
}
