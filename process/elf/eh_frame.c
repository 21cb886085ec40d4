// SPDX-License-Identifier: MIT
#include "process/elf/eh_frame.h"

#include <dwarf.h>
#include <errno.h>
#include <string.h>

/* Bytes of the file that lie at a link-time address, and how far the reader is. Reading past the end sets
 * bad. */
struct reader {
	const uint8_t *bytes;
	uint64_t address, n, at;
	bool bad;
};

struct cie {
	uint64_t offset; /* of the record, from the section's start */
	uint8_t fde_encoding, lsda_encoding;
	bool augmented, usable;
};

static uint64_t read_fixed(struct reader *r, size_t n, bool is_signed)
{
	uint64_t value = 0;
	if (r->bad || r->n - r->at < n) {
		r->bad = true;
		return 0;
	}
	memcpy(&value, r->bytes + r->at, n);
	r->at += n;
	if (is_signed && n < 8 && (value >> (8 * n - 1)))
		value |= ~UINT64_C(0) << (8 * n);
	return value;
}

static uint64_t read_leb(struct reader *r, bool is_signed)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;
	do {
		byte = (uint8_t)read_fixed(r, 1, false);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (!r->bad && (byte & 0x80));
	if (is_signed && shift < 64 && (byte & 0x40))
		value |= ~UINT64_C(0) << shift;
	return value;
}

/* A pointer in one of the encodings that need no run-time knowledge. relative: add the base that the encoding
 * names. */
static uint64_t read_encoded(struct reader *r, uint8_t encoding, bool relative)
{
	uint64_t here = r->address + r->at, value = 0;
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = read_fixed(r, 8, false);
		break;
	case DW_EH_PE_udata4:
		value = read_fixed(r, 4, false);
		break;
	case DW_EH_PE_sdata4:
		value = read_fixed(r, 4, true);
		break;
	case DW_EH_PE_udata2:
		value = read_fixed(r, 2, false);
		break;
	case DW_EH_PE_sdata2:
		value = read_fixed(r, 2, true);
		break;
	case DW_EH_PE_uleb128:
		value = read_leb(r, false);
		break;
	case DW_EH_PE_sleb128:
		value = read_leb(r, true);
		break;
	default:
		r->bad = true;
	}
	if (!relative || !value)
		return value;
	if ((encoding & 0x70) == DW_EH_PE_pcrel)
		return value + here;
	if ((encoding & 0x70) != 0)
		r->bad = true;
	return value;
}

/* What stands before a record's content: its length and its identity. False at the end of the section. */
static bool read_record(struct reader *section, struct reader *record, uint64_t *offset, uint64_t *id,
			uint64_t *id_offset)
{
	*offset = section->at;
	uint64_t length = read_fixed(section, 4, false);
	if (length == UINT32_MAX)
		length = read_fixed(section, 8, false);
	if (section->bad || !length)
		return false;
	if (length > section->n - section->at || length < 4) {
		section->bad = true;
		return false;
	}
	*record = (struct reader){section->bytes + section->at, section->address + section->at, length, 0,
				  false};
	*id_offset = section->at;
	*id = read_fixed(record, 4, false);
	section->at += length;
	return true;
}

static void read_cie(struct reader *r, struct cie *cie)
{
	uint64_t version = read_fixed(r, 1, false);
	const char *augmentation = (const char *)r->bytes + r->at;
	size_t length = strnlen(augmentation, r->n - r->at);
	if (r->bad || (version != 1 && version != 3) || length == r->n - r->at)
		return;
	r->at += length + 1;
	(void)read_leb(r, false); /* code alignment */
	(void)read_leb(r, true);  /* data alignment */
	if (version == 1)
		(void)read_fixed(r, 1, false);
	else
		(void)read_leb(r, false);
	cie->lsda_encoding = DW_EH_PE_omit;
	if (augmentation[0] == 'z') {
		cie->augmented = true;
		(void)read_leb(r, false);
	} else if (length) {
		return; /* "eh" and the like: nobody has made them for decades */
	}
	for (size_t i = 1; i < length; i++) {
		if (augmentation[i] == 'R') {
			cie->fde_encoding = (uint8_t)read_fixed(r, 1, false);
		} else if (augmentation[i] == 'L') {
			cie->lsda_encoding = (uint8_t)read_fixed(r, 1, false);
		} else if (augmentation[i] == 'P') {
			uint8_t encoding = (uint8_t)read_fixed(r, 1, false);
			if ((encoding & 0x70) == DW_EH_PE_aligned)
				return;
			(void)read_encoded(r, encoding & 0x0f, false);
		} else if (augmentation[i] != 'S' && augmentation[i] != 'B') {
			return;
		}
	}
	cie->usable = !r->bad;
}

/* The CIE at offset; the last one is kept, for they come in runs. */
static const struct cie *get_cie(const struct reader *section, uint64_t offset, struct cie *last)
{
	if (last->offset == offset && last->usable)
		return last;
	struct reader at = *section, record;
	uint64_t start, id, id_offset;
	at.at = offset;
	*last = (struct cie){.offset = offset};
	if (offset >= at.n || !read_record(&at, &record, &start, &id, &id_offset) || id != 0)
		return NULL;
	read_cie(&record, last);
	return last->usable ? last : NULL;
}

static bool read_fde(struct reader *r, const struct cie *cie, struct fde *fde)
{
	uint64_t start = read_encoded(r, cie->fde_encoding, true);
	uint64_t size = read_encoded(r, cie->fde_encoding & 0x0f, false);
	if (r->bad || (cie->fde_encoding & DW_EH_PE_indirect) ||
	    __builtin_add_overflow(start, size, &fde->end))
		return false;
	fde->start = start;
	fde->lsda = 0;
	if (cie->augmented && cie->lsda_encoding != DW_EH_PE_omit) {
		uint64_t length = read_leb(r, false);
		if (length)
			fde->lsda = read_encoded(r, cie->lsda_encoding, true);
	}
	return !r->bad;
}

static int table_add(struct fde_table *table, size_t *capacity, const struct fde *fde)
{
	if (table->n == *capacity) {
		size_t bigger = *capacity ? 2 * *capacity : 256;
		struct fde *v = reallocarray(table->v, bigger, sizeof(*v));
		if (!v)
			return -ENOMEM;
		table->v = v;
		*capacity = bigger;
	}
	table->v[table->n++] = *fde;
	return 0;
}

static int read_section(struct elf_file *file, struct reader *section, struct fde_table *table)
{
	struct reader record;
	struct cie last = {.offset = UINT64_MAX};
	uint64_t offset, id, id_offset;
	size_t capacity = 0;
	while (section->at < section->n && read_record(section, &record, &offset, &id, &id_offset)) {
		struct fde fde;
		if (!id)
			continue;
		const struct cie *cie = id <= id_offset ? get_cie(section, id_offset - id, &last) : NULL;
		if (!cie || !read_fde(&record, cie, &fde)) {
			table->complete = false;
			continue;
		}
		/* start 0: a function that the linker threw away. */
		if (fde.start == fde.end || !elf_file_is_code(file, fde.start, fde.end - fde.start))
			continue;
		int r = table_add(table, &capacity, &fde);
		if (r < 0)
			return r;
	}
	if (section->bad)
		table->complete = false;
	return 0;
}

/* Through PT_GNU_EH_FRAME, whose header points to the section but does not say how long it is; it ends
 * itself. */
static bool locate_by_header(struct elf_file *file, uint64_t *address, uint64_t *size)
{
	for (size_t i = 0; i < file->n_phdr; i++) {
		const Elf64_Phdr *phdr = &file->phdr[i];
		if (phdr->p_type != PT_GNU_EH_FRAME)
			continue;
		struct reader r = {elf_file_at_address(file, phdr->p_vaddr, phdr->p_filesz), phdr->p_vaddr,
				   phdr->p_filesz, 0, false};
		if (!r.bytes || read_fixed(&r, 1, false) != 1)
			continue;
		uint8_t encoding = (uint8_t)read_fixed(&r, 1, false);
		(void)read_fixed(&r, 2, false);
		*address = read_encoded(&r, encoding, true);
		*size = r.bad ? 0 : elf_file_extent(file, *address);
		if (*size)
			return true;
	}
	return false;
}

static int by_start(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

int fde_table_read(struct elf_file *file, struct fde_table *ret)
{
	*ret = (struct fde_table){.complete = true};
	uint64_t address, size;
	const Elf64_Shdr *section = elf_file_section(file, ".eh_frame");
	if (section && (section->sh_flags & SHF_ALLOC) && section->sh_type != SHT_NOBITS) {
		address = section->sh_addr;
		size = section->sh_size;
	} else if (!locate_by_header(file, &address, &size)) {
		return 0;
	}
	struct reader reader = {elf_file_at_address(file, address, size), address, size, 0, false};
	if (!reader.bytes) {
		ret->complete = size == 0;
		return 0;
	}
	int r = read_section(file, &reader, ret);
	if (r < 0)
		fde_table_deinit(ret);
	else if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_start);
	return r;
}

void fde_table_deinit(struct fde_table *table)
{
	free(table->v);
	*table = (struct fde_table){0};
}

/* The last entry that starts at or before address. */
static const struct fde *last_before(const struct fde_table *table, uint64_t address)
{
	size_t low = 0, high = table->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (table->v[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &table->v[low - 1] : NULL;
}

const struct fde *fde_table_find(const struct fde_table *table, uint64_t address)
{
	const struct fde *fde = last_before(table, address);
	return fde && address < fde->end ? fde : NULL;
}

const struct fde *fde_table_starting(const struct fde_table *table, uint64_t address)
{
	const struct fde *fde = last_before(table, address);
	return fde && fde->start == address ? fde : NULL;
}

int fde_each_landing_pad(struct elf_file *file, const struct fde *fde,
			 int (*fn)(void *context, uint64_t address), void *context)
{
	if (!fde->lsda)
		return 0;
	struct reader r = {NULL, fde->lsda, elf_file_extent(file, fde->lsda), 0, false};
	/* An exception table is of the order of its function's size: no need to read the rest of the segment.
	 */
	if (r.n > (UINT64_C(16) << 20))
		r.n = UINT64_C(16) << 20;
	r.bytes = elf_file_at_address(file, fde->lsda, r.n);
	if (!r.bytes)
		return -EBADMSG;
	uint64_t base = fde->start;
	uint8_t encoding = (uint8_t)read_fixed(&r, 1, false);
	if (encoding != DW_EH_PE_omit)
		base = read_encoded(&r, encoding, true);
	encoding = (uint8_t)read_fixed(&r, 1, false);
	if (encoding != DW_EH_PE_omit)
		(void)read_leb(&r, false);
	encoding = (uint8_t)read_fixed(&r, 1, false);
	uint64_t size = read_leb(&r, false);
	if (r.bad || size > r.n - r.at)
		return -EBADMSG;
	uint64_t end = r.at + size;
	while (r.at < end) {
		(void)read_encoded(&r, encoding, false);
		(void)read_encoded(&r, encoding, false);
		uint64_t pad = read_encoded(&r, encoding, false);
		(void)read_leb(&r, false);
		if (r.bad)
			return -EBADMSG;
		int result = pad ? fn(context, base + pad) : 0;
		if (result)
			return result;
	}
	return 0;
}
