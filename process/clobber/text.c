// SPDX-License-Identifier: MIT
#include "process/clobber/text.h"

struct usp_error *text_init_module(struct text *text, struct module *module)
{
	struct usp_error *error = module_load(module);
	if (error)
		return error;
	*text = (struct text){.module = module};
	for (unsigned i = 0; i < module->n_phdr; i++) {
		const Elf64_Phdr *phdr = &module->phdr[i];
		if (phdr->p_type != PT_LOAD || !(phdr->p_flags & PF_X) ||
		    phdr->p_offset > module->file_size ||
		    phdr->p_filesz > module->file_size - phdr->p_offset ||
		    phdr->p_vaddr > UINT64_MAX - phdr->p_filesz)
			continue;
		if (text->n_pieces == TEXT_PIECES)
			return usp_errorf(USP_UNSUPPORTED, "%s has more than %d executable segments",
					  module->path, TEXT_PIECES);
		text->pieces[text->n_pieces++] =
			(struct text_piece){module->file + phdr->p_offset, phdr->p_vaddr, phdr->p_filesz};
	}
	return NULL;
}

void text_init_buffer(struct text *text, const uint8_t *bytes, size_t size)
{
	*text = (struct text){.n_pieces = 1, .pieces = {{bytes, 0, size}}};
}

void text_deinit(struct text *text)
{
	for (size_t i = 0; i < text->n_blocks; i++)
		free(text->blocks[i]);
	free(text->blocks);
	address_map_deinit(&text->index);
	*text = (struct text){0};
}

static const struct text_piece *find_piece(const struct text *text, uint64_t address)
{
	for (size_t i = 0; i < text->n_pieces; i++)
		if (address - text->pieces[i].address < text->pieces[i].size)
			return &text->pieces[i];
	return NULL;
}

bool text_has(const struct text *text, uint64_t address)
{
	return find_piece(text, address) != NULL;
}

static struct insn *new_insn(struct text *text)
{
	if (text->n == text->n_blocks * TEXT_BLOCK) {
		struct insn **blocks = reallocarray(text->blocks, text->n_blocks + 1, sizeof(*blocks));
		if (!blocks)
			return NULL;
		text->blocks = blocks;
		blocks[text->n_blocks] = calloc(TEXT_BLOCK, sizeof(**blocks));
		if (!blocks[text->n_blocks])
			return NULL;
		text->n_blocks++;
	}
	return &text->blocks[text->n / TEXT_BLOCK][text->n % TEXT_BLOCK];
}

const struct insn *text_at(struct text *text, uint64_t address)
{
	uint64_t *place = address_map_at(&text->index, address);
	if (!place) {
		text->no_memory = true;
		return NULL;
	}
	if (*place)
		return *place == UINT64_MAX
			       ? NULL
			       : &text->blocks[(*place - 1) / TEXT_BLOCK][(*place - 1) % TEXT_BLOCK];
	const struct text_piece *piece = find_piece(text, address);
	*place = UINT64_MAX;
	if (!piece)
		return NULL;
	struct insn *insn = new_insn(text);
	if (!insn) {
		text->no_memory = true;
		return NULL;
	}
	uint64_t offset = address - piece->address;
	if (!insn_decode(piece->bytes + offset, piece->size - offset, address, insn))
		return NULL;
	*place = ++text->n;
	return insn;
}
