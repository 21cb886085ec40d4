// SPDX-License-Identifier: MIT
#include "build/types/die.h"

#include <string.h>

#define CHAIN_MAX 16 /* origins and qualifiers in a row: real ones are 3 */

static int index_of(unsigned name)
{
	switch (name) {
	case DW_AT_name:
		return TYPES_AT_NAME;
	case DW_AT_linkage_name:
	case DW_AT_MIPS_linkage_name:
		return TYPES_AT_LINKAGE_NAME;
	case DW_AT_type:
		return TYPES_AT_TYPE;
	case DW_AT_abstract_origin:
		return TYPES_AT_ORIGIN;
	case DW_AT_specification:
		return TYPES_AT_SPECIFICATION;
	case DW_AT_signature:
		return TYPES_AT_SIGNATURE;
	case DW_AT_call_origin:
		return TYPES_AT_CALL_ORIGIN;
	case DW_AT_byte_size:
		return TYPES_AT_BYTE_SIZE;
	case DW_AT_bit_size:
		return TYPES_AT_BIT_SIZE;
	case DW_AT_data_bit_offset:
		return TYPES_AT_DATA_BIT_OFFSET;
	case DW_AT_bit_offset:
		return TYPES_AT_BIT_OFFSET;
	case DW_AT_data_member_location:
		return TYPES_AT_MEMBER_LOCATION;
	case DW_AT_upper_bound:
		return TYPES_AT_UPPER_BOUND;
	case DW_AT_count:
		return TYPES_AT_COUNT;
	case DW_AT_const_value:
		return TYPES_AT_CONST_VALUE;
	case DW_AT_encoding:
		return TYPES_AT_ENCODING;
	case DW_AT_declaration:
		return TYPES_AT_DECLARATION;
	case DW_AT_external:
		return TYPES_AT_EXTERNAL;
	case DW_AT_prototyped:
		return TYPES_AT_PROTOTYPED;
	case DW_AT_location:
		return TYPES_AT_LOCATION;
	case DW_AT_alignment:
		return TYPES_AT_ALIGNMENT;
	case DW_AT_vtable_elem_location:
		return TYPES_AT_VTABLE_SLOT;
	case DW_AT_dwo_name:
	case DW_AT_GNU_dwo_name:
		return TYPES_AT_DWO_NAME;
	case DW_AT_low_pc:
		return TYPES_AT_LOW_PC;
	case DW_AT_ranges:
		return TYPES_AT_RANGES;
	default:
		return -1;
	}
}

static int keep(Dwarf_Attribute *attribute, void *context)
{
	struct types_die *d = context;
	int i = index_of(dwarf_whatattr(attribute));
	if (i >= 0 && !types_die_has(d, (enum types_attr)i)) {
		d->attr[i] = *attribute;
		d->present |= 1u << i;
	}
	return DWARF_CB_OK;
}

/* dwarf_getattrs() has measured each value by the time it says 1, so later reads stay inside the section. */
struct usp_error *types_die_read(const Dwarf_Die *die, struct types_die *ret)
{
	ret->die = *die;
	ret->present = 0;
	int tag = dwarf_tag(&ret->die);
	if (tag == DW_TAG_invalid)
		return types_broken("an entry without a kind");
	ret->tag = (unsigned)tag;
	if (dwarf_getattrs(&ret->die, keep, ret, 0) != 1)
		return types_broken("attributes of an entry");
	return NULL;
}

/* A copy: libdw takes no const. */
static bool get(const struct types_die *d, enum types_attr a, Dwarf_Attribute *ret)
{
	if (!types_die_has(d, a))
		return false;
	*ret = d->attr[a];
	return true;
}

bool types_die_flag(const struct types_die *d, enum types_attr a)
{
	Dwarf_Attribute attr;
	bool value = false;
	return get(d, a, &attr) && dwarf_formflag(&attr, &value) == 0 && value;
}

static bool get_block(const struct types_die *d, enum types_attr a, Dwarf_Block *ret)
{
	Dwarf_Attribute attr;
	if (!get(d, a, &attr))
		return false;
	switch (dwarf_whatform(&attr)) {
	case DW_FORM_exprloc:
	case DW_FORM_block:
	case DW_FORM_block1:
	case DW_FORM_block2:
	case DW_FORM_block4:
		return dwarf_formblock(&attr, ret) == 0;
	default:
		return false;
	}
}

static bool number_of_block(const Dwarf_Block *block, uint64_t *ret)
{
	uint64_t value = 0;
	if (block->length < 2 || (block->data[0] != DW_OP_plus_uconst && block->data[0] != DW_OP_constu))
		return false;
	for (size_t i = 1; i < block->length && i <= 9; i++) {
		value |= (uint64_t)(block->data[i] & 0x7f) << (7 * (i - 1));
		if (!(block->data[i] & 0x80)) {
			*ret = value;
			return i + 1 == block->length;
		}
	}
	return false;
}

bool types_die_number(const struct types_die *d, enum types_attr a, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Block block;
	Dwarf_Word value;
	Dwarf_Sword with_sign;
	if (!get(d, a, &attr))
		return false;
	switch (dwarf_whatform(&attr)) {
	case DW_FORM_sdata:
	case DW_FORM_implicit_const:
		if (dwarf_formsdata(&attr, &with_sign) != 0)
			return false;
		*ret = (uint64_t)with_sign;
		return true;
	case DW_FORM_data1:
	case DW_FORM_data2:
	case DW_FORM_data4:
	case DW_FORM_data8:
	case DW_FORM_udata:
		if (dwarf_formudata(&attr, &value) != 0)
			return false;
		*ret = value;
		return true;
	default:
		return get_block(d, a, &block) && number_of_block(&block, ret);
	}
}

bool types_die_is_static(const struct types_die *d)
{
	Dwarf_Block block;
	if (!get_block(d, TYPES_AT_LOCATION, &block) || !block.length)
		return false;
	int first = block.data[0], last = block.data[block.length - 1];
	return first == DW_OP_addr || first == DW_OP_addrx || first == DW_OP_GNU_addr_index ||
	       (block.length > 2 && (last == DW_OP_form_tls_address || last == DW_OP_GNU_push_tls_address));
}

struct usp_error *types_die_next_range(const struct types_die *d, struct types_die_range *range)
{
	Dwarf_Die die = d->die;
	ptrdiff_t before = range->next;
	range->next = 0;
	if (!types_die_has(d, TYPES_AT_LOW_PC) && !types_die_has(d, TYPES_AT_RANGES))
		return NULL;
	range->next = dwarf_ranges(&die, before, &range->base, &range->start, &range->end);
	return range->next < 0 || (range->next && range->next <= before)
		       ? types_broken("places of a function's code")
		       : NULL;
}

uint64_t types_die_expression_hash(const struct types_die *d, enum types_attr a)
{
	Dwarf_Block block;
	uint64_t hash = 0xcbf29ce484222325;
	if (!get_block(d, a, &block))
		return 0;
	for (size_t i = 0; i < block.length; i++)
		hash = (hash ^ block.data[i]) * 0x100000001b3;
	return hash;
}

struct usp_error *types_die_string(const struct types_die *d, enum types_attr a, const char **ret)
{
	Dwarf_Attribute attr;
	*ret = NULL;
	if (!get(d, a, &attr))
		return NULL;
	switch (dwarf_whatform(&attr)) {
	case DW_FORM_string:
	case DW_FORM_strp:
	case DW_FORM_line_strp:
	case DW_FORM_strx:
	case DW_FORM_strx1:
	case DW_FORM_strx2:
	case DW_FORM_strx3:
	case DW_FORM_strx4:
		break;
	default: /* among them those that would open another file */
		return types_broken("a name of an unknown form");
	}
	const char *s = dwarf_formstring(&attr);
	if (!s)
		return types_broken("a name outside the table of names");
	if (*s)
		*ret = s;
	return NULL;
}

struct usp_error *types_die_follow(const struct types_die *d, enum types_attr a, struct types_die *ret,
				   bool *found)
{
	Dwarf_Attribute attr;
	Dwarf_Die die;
	*found = false;
	if (!get(d, a, &attr))
		return NULL;
	switch (dwarf_whatform(&attr)) {
	case DW_FORM_ref1:
	case DW_FORM_ref2:
	case DW_FORM_ref4:
	case DW_FORM_ref8:
	case DW_FORM_ref_udata:
	case DW_FORM_ref_addr:
	case DW_FORM_ref_sig8:
		break;
	default: /* among them those that would open another file */
		return types_broken("a reference of an unknown form");
	}
	if (!dwarf_formref_die(&attr, &die))
		return types_broken("a reference to what is not there");
	*found = true;
	return types_die_read(&die, ret);
}

struct usp_error *types_die_child(const struct types_die *parent, const struct types_die *before,
				  struct types_die *ret, bool *found)
{
	Dwarf_Die from = before ? before->die : parent->die, die;
	*found = false;
	int status = before ? dwarf_siblingof(&from, &die) : dwarf_child(&from, &die);
	if (status < 0)
		return types_broken("children of an entry");
	if (status > 0)
		return NULL;
	/* DW_AT_sibling may say anything: only onward. */
	if ((uintptr_t)die.addr <= (uintptr_t)from.addr)
		return types_broken("a sibling that comes before");
	*found = true;
	return types_die_read(&die, ret);
}

bool types_die_is_composite(const struct types_die *d)
{
	return d->tag == DW_TAG_structure_type || d->tag == DW_TAG_class_type || d->tag == DW_TAG_union_type;
}

bool types_die_is_definition(const struct types_die *d)
{
	return (types_die_is_composite(d) || d->tag == DW_TAG_enumeration_type) &&
	       !types_die_flag(d, TYPES_AT_DECLARATION);
}

struct usp_error *types_die_find(const struct types_die *d, enum types_attr a, struct types_die *ret,
				 bool *found)
{
	struct types_die at = *d;
	for (int i = 0; i < CHAIN_MAX; i++) {
		*found = types_die_has(&at, a);
		if (*found) {
			*ret = at;
			return NULL;
		}
		enum types_attr next =
			types_die_has(&at, TYPES_AT_ORIGIN) ? TYPES_AT_ORIGIN : TYPES_AT_SPECIFICATION;
		struct usp_error *error = types_die_follow(&at, next, &at, found);
		if (error || !*found)
			return error;
	}
	return types_broken("origins without an end");
}

struct usp_error *types_die_symbol(const struct types_die *d, const char **ret)
{
	struct types_die at;
	bool found;
	*ret = NULL;
	struct usp_error *error = types_die_find(d, TYPES_AT_LINKAGE_NAME, &at, &found);
	if (!error && found)
		error = types_die_string(&at, TYPES_AT_LINKAGE_NAME, ret);
	if (error || *ret)
		return error;
	error = types_die_find(d, TYPES_AT_NAME, &at, &found);
	return error || !found ? error : types_die_string(&at, TYPES_AT_NAME, ret);
}

struct usp_error *types_die_type(const struct types_die *d, struct types_die *ret, bool *found)
{
	struct usp_error *error = types_die_find(d, TYPES_AT_TYPE, ret, found);
	for (int i = 0; !error && *found && i < CHAIN_MAX; i++) {
		error = types_die_follow(ret, TYPES_AT_TYPE, ret, found);
		if (error || !*found)
			return error;
		switch (ret->tag) {
		case DW_TAG_const_type:
		case DW_TAG_volatile_type:
		case DW_TAG_restrict_type:
		case DW_TAG_atomic_type:
		case DW_TAG_immutable_type:
			break;
		default: /* a stand-in for what a type unit holds (-fdebug-types-section) */
			if (types_die_flag(ret, TYPES_AT_DECLARATION) &&
			    types_die_has(ret, TYPES_AT_SIGNATURE))
				error = types_die_follow(ret, TYPES_AT_SIGNATURE, ret, found);
			return error;
		}
	}
	return error || !*found ? error : types_broken("qualifiers without an end");
}

struct usp_error *types_die_is_constant(const struct types_die *d, bool *ret)
{
	struct types_die at;
	bool found;
	struct usp_error *error = types_die_find(d, TYPES_AT_TYPE, &at, &found);
	*ret = false;
	for (int i = 0; !error && found && i < CHAIN_MAX; i++) {
		error = types_die_follow(&at, TYPES_AT_TYPE, &at, &found);
		if (error || !found)
			return error;
		*ret = at.tag == DW_TAG_const_type;
		if (at.tag != DW_TAG_volatile_type && at.tag != DW_TAG_restrict_type &&
		    at.tag != DW_TAG_typedef && at.tag != DW_TAG_array_type)
			return NULL;
	}
	return error || !found ? error : types_broken("qualifiers without an end");
}
