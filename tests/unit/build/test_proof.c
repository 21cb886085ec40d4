// SPDX-License-Identifier: MIT
/*
 * proof_piece() and proof_cause(): whatever is not as it was is seen and named, and nothing that a file says breaks them.
 */
#define _GNU_SOURCE
#include "place_test.h"

static void test_wrong_flags(void **state)
{
	(void)state;
	struct looked l;
	put_all();
	run("gcc -O2 -g -w -fPIE -c all.c other.c main.c && gcc -pie -o program all.o other.o main.o && "
	    "gcc -O1 -g -w -fPIE -c all.c");
	look("program", NULL, "all.o", &l);
	char *text = difference(&l, "pick");
	assert_non_null(text);
	assert_non_null(strstr(text, "pick"));
	assert_non_null(strstr(text, "rebuilt: "));
	assert_non_null(strstr(text, "; target: "));
	free(text);
	ok(proof_cause(l.object, l.names, &text));
	assert_non_null(text);
	assert_non_null(strstr(text, "rebuilt with -O1; the target with -O2"));
	free(text);
	done(&l);
	/* And when it was built as the program was, there is no cause. */
	run("gcc -O2 -g -w -fPIE -c all.c");
	look("program", NULL, "all.o", &l);
	ok(proof_cause(l.object, l.names, &text));
	assert_null(text);
	done(&l);
}

static void test_cause(void **state)
{
	(void)state;
	struct looked l;
	char *text;
	put_all();
	if (!have("clang")) {
		print_message("# no clang here\n");
		return;
	}
	static const char *const debug[] = {"", "-g"};
	for (int i = 0; i < 2; i++) {
		run("gcc %s -O2 -w -fPIE -c all.c other.c main.c && gcc -pie -o program all.o other.o main.o "
		    "&& "
		    "clang %s -O2 -w -fPIE -c all.c",
		    debug[i], debug[i]);
		look("program", NULL, "all.o", &l);
		ok(proof_cause(l.object, l.names, &text));
		assert_non_null(text);
		assert_non_null(strstr(text, "clang"));
		assert_non_null(strstr(text, "GNU C17") ? strstr(text, "GNU C17") : strstr(text, "GCC: "));
		free(text);
		done(&l);
	}
	/* The program's side from its debug file. */
	run("gcc -g -O2 -w -fPIE -c all.c && gcc -pie -o program all.o other.o main.o && "
	    "objcopy --only-keep-debug program program.debug && strip program && "
	    "objcopy --add-gnu-debuglink=program.debug program && gcc -g -O3 -w -fPIE -c all.c");
	look("program", NULL, "all.o", &l);
	ok(proof_cause(l.object, l.names, &text));
	assert_non_null(text);
	assert_non_null(strstr(text, "rebuilt with -O3; the target with -O2"));
	free(text);
	done(&l);
}

/* Another variable, another function, another string at the same distance: all of it is seen. */
static void test_small_differences(void **state)
{
	(void)state;
	static const struct {
		const char *name, *program, *object, *words;
	} cases[] = {
		{"a call", "int f(int x) { return one(x) + 1; }", "int f(int x) { return two(x) + 1; }",
		 "call"},
		{"a libc call", "int f(int x) { return toupper(x) + 1; }",
		 "int f(int x) { return tolower(x) + 1; }", "call"},
		{"a variable", "int f(int x) { return v_one + x; }", "int f(int x) { return v_two + x; }",
		 "v_two"},
		{"a string", "int f(int x) { return puts(\"yes\") + 1; }",
		 "int f(int x) { return puts(\"noo\") + 1; }", "noo"},
		{"a number", "double f(double x) { return x * 2.5; }",
		 "double f(double x) { return x * 3.5; }", "rebuilt"},
		{"an operand", "int f(int x) { return x + 4; }", "int f(int x) { return x + 5; }", "0x05"},
		{"a table", "int f(int x) { static const int t[] = {1,2,3,4,5}; return t[x]; }",
		 "int f(int x) { static const int t[] = {1,2,3,4,6}; return t[x]; }", "f refers to t"},
		{"a jump table",
		 "int f(int x) { switch (x) { case 0: return one(1); case 1: return two(2); case 2: return "
		 "one(3); case 3: "
		 "return two(4); case 4: return one(9); case 5: return two(8); } return 0; }",
		 "int f(int x) { switch (x) { case 1: return one(1); case 0: return two(2); case 2: return "
		 "one(3); case 3: "
		 "return two(4); case 4: return one(9); case 5: return two(8); } return 0; }",
		 "f"},
		{"a static function",
		 "static __attribute__((noinline)) int s(int x) { return one(x) * 3; } "
		 "static __attribute__((noinline)) int t(int x) { return two(x) * 3; } int f(int x) { return "
		 "s(x) - t(x); }",
		 "static __attribute__((noinline)) int s(int x) { return one(x) * 3; } "
		 "static __attribute__((noinline)) int t(int x) { return two(x) * 3; } int f(int x) { return "
		 "t(x) - s(x); }",
		 "may be the same, but"},
		{"initial data", "int f = 5;", "int f = 6;", "06"},
	};
	static const char *const flags[][2] = {
		{"-O2 -fPIE", "-pie"}, {"-O2 -fno-pie", "-no-pie"}, {"-O2 -fPIC", "-shared"}};
	put("o.c",
	    "int v_one = 1, v_two = 2; int one(int x) { return x + 1; } int two(int x) { return x + 2; }\n"
	    "int use(long x) { extern int toupper(int), tolower(int); return toupper(x) + tolower(x); }\n"
	    "int main(void) { return 0; }\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (size_t k = 0; k < 3; k++) {
			struct looked l;
			char text[1024];
			for (int side = 0; side < 2; side++) {
				snprintf(
					text, sizeof(text),
					"extern int v_one, v_two; int one(int), two(int), puts(const char *);"
					"int toupper(int), tolower(int);\n%s\n",
					side ? cases[i].object : cases[i].program);
				put(side ? "f.c" : "g.c", text);
			}
			run("gcc %s -w -c o.c && mkdir -p p && cp g.c p/f.c && (cd p && gcc %s -w -c f.c) && "
			    "gcc %s -o program p/f.o "
			    "o.o && gcc %s -w -c f.c",
			    flags[k][0], flags[k][0], flags[k][1], flags[k][0]);
			look("program", NULL, "p/f.o", &l);
			assert_null(difference(&l, "f"));
			done(&l);
			look("program", NULL, "f.o", &l);
			char *said = difference(&l, "f");
			if (!said || !strstr(said, cases[i].words))
				fail_msg("%s, %s: %s; expected: %s", cases[i].name, flags[k][0],
					 said ? said : "the same", cases[i].words);
			free(said);
			done(&l);
		}
}

/* Any single byte of the function that is not as it was is seen, wherever it is. */
static void test_each_byte(void **state)
{
	(void)state;
	static const char *const flags[][2] = {{"-O2 -fPIE", "-pie"},
					       {"-O2 -fno-pie", "-no-pie"},
					       {"-O2 -fPIC -fno-plt", "-shared"},
					       {"-O2 -fPIE -fno-plt", "-pie"}};
	put_all();
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		struct looked l;
		uint8_t *bytes;
		size_t size, missed = 0, n = 0;
		run("gcc -w %s -c all.c other.c main.c && gcc %s -o program all.o other.o main.o",
		    flags[i][0], flags[i][1]);
		look("program", NULL, "all.o", &l);
		uint32_t p = piece(&l, "pick");
		uint64_t address = place_of_piece(l.object, &l.place, p), offset = 0;
		assert_int_not_equal(address, PLACE_NONE);
		for (size_t k = 0; k < l.target->n_phdr; k++)
			if (l.target->phdr[k].p_type == PT_LOAD && address >= l.target->phdr[k].p_vaddr &&
			    address < l.target->phdr[k].p_vaddr + l.target->phdr[k].p_filesz)
				offset = address - l.target->phdr[k].p_vaddr + l.target->phdr[k].p_offset;
		uint64_t length = l.object->pieces[p].size;
		done(&l);
		ok(file_read("program", 1 << 26, &bytes, &size));
		assert_true(offset && offset + length <= size);
		for (uint64_t at = 0; at < length; at++) {
			bytes[offset + at] ^= 0x11;
			ok(file_write("changed", bytes, size));
			bytes[offset + at] ^= 0x11;
			look("changed", NULL, "all.o", &l);
			char *text = difference(&l, "pick");
			if (!text)
				print_message("# %s: byte 0x%lx was not seen\n", flags[i][0], at);
			missed += !text;
			n++;
			free(text);
			done(&l);
		}
		free(bytes);
		if (missed)
			fail_msg("%s: %zu of %zu changed bytes were not seen", flags[i][0], missed, n);
	}
}

/* Names, sizes and addresses of the program's table lie; bytes of its file are anything. Nothing breaks. */
static void test_hostile(void **state)
{
	(void)state;
	uint8_t *bytes;
	size_t size;
	uint32_t seed = 12345;
	put_all();
	run("gcc -O2 -g -w -fPIE -c all.c other.c main.c && gcc -pie -o program all.o other.o main.o");
	ok(file_read("program", 1 << 26, &bytes, &size));
	Elf64_Ehdr *ehdr = (Elf64_Ehdr *)(void *)bytes;
	Elf64_Shdr *shdr = (Elf64_Shdr *)(void *)(bytes + ehdr->e_shoff);
	static const uint64_t odd[] = {0, 1, UINT64_MAX, UINT64_MAX - 15, INT64_MAX, 0x1000, 0x7fffffff};
	for (unsigned round = 0; round < 300; round++) {
		uint8_t *copy = malloc(size);
		assert_non_null(copy);
		memcpy(copy, bytes, size);
		for (unsigned i = 0; i < ehdr->e_shnum; i++) {
			if (shdr[i].sh_type != SHT_SYMTAB && shdr[i].sh_type != SHT_DYNSYM)
				continue;
			Elf64_Sym *symbols = (Elf64_Sym *)(void *)(copy + shdr[i].sh_offset);
			for (size_t k = 1; k < shdr[i].sh_size / sizeof(*symbols); k++) {
				seed = seed * 1664525 + 1013904223;
				if (seed >> 28 == 1)
					symbols[k].st_value = odd[(seed >> 8) % 7];
				else if (seed >> 28 == 2)
					symbols[k].st_size = odd[(seed >> 8) % 7];
				else if (seed >> 28 == 3)
					symbols[k].st_info = (unsigned char)(seed >> 8);
			}
		}
		for (unsigned i = 0; i < (round & 31); i++) {
			seed = seed * 1664525 + 1013904223;
			copy[64 + (seed >> 4) % (size - 64)] ^= (uint8_t)seed;
		}
		ok(file_write("changed", copy, size));
		free(copy);
		struct module *target;
		struct object *object;
		struct place place;
		struct usp_error *error = module_open_file("changed", &target);
		if (error) {
			usp_error_destroy(error);
			continue;
		}
		ok(object_open("all.o", &object));
		error = place_object(object, target, target, &place);
		for (uint32_t i = 0; i < object->n_pieces && !error; i++) {
			char *text = NULL;
			usp_error_destroy(proof_piece(object, &place, i, target, &text));
			free(text);
		}
		if (!error) {
			char *text = NULL;
			usp_error_destroy(proof_cause(object, target, &text));
			free(text);
		}
		usp_error_destroy(error);
		place_deinit(&place);
		object_close(object);
		module_close(target);
	}
	free(bytes);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_wrong_flags), TEST(test_cause),   TEST(test_small_differences),
		TEST(test_each_byte),	TEST(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
