// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static char no_memory[] = "?";

void text_free(char *text)
{
	if (text != no_memory)
		free(text);
}

void text_freep(char **text)
{
	text_free(*text);
}

/* Length of the UTF-8 character at p, with its code point; 0 when there is none (overlong, surrogate, cut).
 */
static size_t utf8_decode(const unsigned char *p, uint32_t *code)
{
	if (p[0] < 0x80) {
		*code = p[0];
		return 1;
	}
	size_t n;
	uint32_t low;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2, low = 0x80, *code = p[0] & 0x1f;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3, low = 0x800, *code = p[0] & 0x0f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4, low = 0x10000, *code = p[0] & 0x07;
	} else {
		return 0;
	}
	for (size_t i = 1; i < n; i++) { /* the ending NUL is no continuation byte: never read past it */
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (p[i] & 0x3f);
	}
	if (*code < low || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return n;
}

/* Characters that move the cursor, reorder what was printed, or show as nothing. */
static bool code_is_unsafe(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || code == 0x61c ||
	       code == 0x180e || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
	       (code >= 0xe0000 && code <= 0xe0fff);
}

char *text_printable(const char *text, bool keep_lines)
{
	char *ret = NULL;
	size_t size;
	FILE *f = open_memstream(&ret, &size);
	if (!f)
		return no_memory;
	const unsigned char *p = (const unsigned char *)text;
	while (*p) {
		uint32_t code = 0;
		size_t n = utf8_decode(p, &code);
		if (!n) {
			fprintf(f, "\\x%02x", *p);
			n = 1;
		} else if (code == '\n' && keep_lines) {
			fputc('\n', f);
		} else if (code_is_unsafe(code)) {
			fprintf(f, code < 0x80 ? "\\x%02" PRIx32 : "\\u{%04" PRIx32 "}", code);
		} else {
			fwrite(p, 1, n, f);
		}
		p += n;
	}
	if (fclose(f)) {
		free(ret);
		return no_memory;
	}
	return ret;
}

int text_width(const char *printable)
{
	int n = 0;
	for (const char *p = printable; *p; p++)
		n += (*p & 0xc0) != 0x80;
	return n;
}

const char *text_count(uint64_t n, const char *noun, char buf[48])
{
	size_t length = strlen(noun);
	const char *plural = n == 1 ? "" : "s";
	if (n != 1 && length > 1 && !strcmp(noun + length - 2, "ss"))
		plural = "es";
	if (n != 1 && length > 1 && !strcmp(noun + length - 2, "ry"))
		snprintf(buf, 48, "%" PRIu64 " %.*sies", n, (int)length - 1, noun);
	else
		snprintf(buf, 48, "%" PRIu64 " %s%s", n, noun, plural);
	return buf;
}

char *text_process_name(int pid)
{
	char path[32], comm[64];
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return NULL;
	size_t n = fread(comm, 1, sizeof(comm) - 1, f);
	fclose(f);
	if (n && comm[n - 1] == '\n')
		n--;
	if (!n)
		return NULL;
	comm[n] = '\0';
	return text_printable(comm, false);
}

char *text_process(int pid)
{
	_cleanup_(text_freep) char *name = text_process_name(pid);
	char *ret;
	int n = name ? asprintf(&ret, "%s (%d)", name, pid) : asprintf(&ret, "process %d", pid);
	return n < 0 ? no_memory : ret;
}
