/* SPDX-License-Identifier: MIT */
/*
 * The laid-out, relocated image of a payload: what is mapped into the target. It is a small ELF shared
 * object, like the vdso: header, program headers (PT_LOADs, PT_GNU_EH_FRAME, PT_NOTE), .rodata,
 * .eh_frame_hdr, .eh_frame, .symtab, .strtab and section headers in a read-only segment; .text and jump slots
 * in an executable one; .data and .bss in a writable one. So gdb (add-symbol-file-from-memory) and libdwfl
 * read it from memory with no file.
 */
#ifndef PAYLOAD_IMAGE_H
#define PAYLOAD_IMAGE_H

#include "payload/payload.h"

enum payload_segment_kind {
	PAYLOAD_SEGMENT_RODATA,
	PAYLOAD_SEGMENT_TEXT,
	PAYLOAD_SEGMENT_DATA,
	PAYLOAD_SEGMENTS
};

struct payload_segment {
	uint64_t offset; /* in the image, page multiple */
	uint64_t size;	 /* page multiple; 0: absent */
	int prot;	 /* PROT_READ, PROT_READ|PROT_EXEC, PROT_READ|PROT_WRITE */
};

/* How a symbol is needed. */
struct payload_reference {
	const char *name;
	const char *file;    /* from .usplice.symbols, or NULL */
	bool by_address;     /* likewise; then its address counts and no name is looked up: */
	uint64_t address;    /* link-time, in the target's module; thread-local: in its TLS segment */
	const char *version; /* after '@' in the name, or NULL */
	unsigned char type;  /* STT_… as the payload's symbol says, often STT_NOTYPE */
	bool tls;	     /* a TLS relocation asks */
	bool weak;	     /* may stay unresolved: address 0 */
};

/* The answer. */
struct payload_value {
	uint64_t address; /* runtime; a weak one not found: 0 */
	/* Of a thread-local variable at least one of the two: */
	uint64_t tls_module, tls_offset; /* what __tls_get_addr takes; module 0: not known */
	bool tls_static;   /* tls_tpoff is known, and right in every thread: no call is needed */
	int64_t tls_tpoff; /* from the thread pointer */
};

/* Provided by the host. An error is passed on as it is (prefixed with the section and offset that asked). */
typedef struct usp_error *payload_resolve_fn(void *context, const struct payload_reference *reference,
					     struct payload_value *value);

struct payload_image_symbol {
	const char *name;
	uint64_t address, size; /* runtime */
};

struct payload_image {
	uint64_t base;
	uint64_t size;	/* page multiple */
	uint8_t *bytes; /* size of them */
	struct payload_segment segments[PAYLOAD_SEGMENTS];
	uint64_t text_start, text_end; /* runtime: code and jump slots; return addresses can only lie here */
	uint64_t eh_frame, eh_frame_size;	/* runtime; 0: none. Ends with the zero terminator that
						   __register_frame_info wants */
	struct payload_image_symbol *functions; /* the payload's own functions, for perf and backtraces */
	size_t n_functions;
};

/* How much address space the image needs, before its place is known (every jump slot counted). Page multiple.
 */
_must_check_ struct usp_error *payload_image_size(const struct payload *payload, uint64_t *size);

/*
 * Lays out and relocates for `base`. Calls and references that do not reach (±2 GiB) go through a slot of the
 * image's own ("jmp *word(%rip)" and its word, which is also the GOT entry). An overflow that no slot can
 * help is refused, naming symbol, distance and "-fPIC". An unknown relocation is refused by number.
 */
_must_check_ struct usp_error *payload_image_build(const struct payload *payload, uint64_t base,
						   payload_resolve_fn *resolve, void *context,
						   struct payload_image **ret);
void payload_image_destroy(struct payload_image *image); /* NULL is fine */

/* The runtime address of a place in the image (replacement, hook). */
uint64_t payload_image_address(const struct payload *payload, const struct payload_image *image,
			       struct payload_place place);

#endif
