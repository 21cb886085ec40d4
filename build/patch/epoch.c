// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/patch/epoch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* RFC 2822, as it ends an entry: "Mon, 23 Nov 2026 01:02:03 +0100". Month names are English whatever the locale. */
static bool read_date(const char *text, time_t *ret)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = {0};
	char month[4], sign;
	int hours, minutes;
	if (sscanf(text, "%*3s, %d %3s %d %d:%d:%d %c%2d%2d", &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour,
		   &tm.tm_min, &tm.tm_sec, &sign, &hours, &minutes) != 9)
		return false;
	const char *at = strlen(month) == 3 ? strstr(months, month) : NULL;
	if (!at || (at - months) % 3 || (sign != '+' && sign != '-') || tm.tm_year < 1970 ||
	    tm.tm_year > 9999)
		return false;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	*ret = timegm(&tm) - (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
	return *ret >= 0;
}

/* " -- Name <mail>  DATE" of the first entry. */
static bool read_changelog(const char *path, time_t *ret)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	bool found = false;
	FILE *f = fopen(path, "re");
	while (f && !found && getline(&line, &room, f) > 0) {
		const char *mail = strncmp(line, " -- ", 4) ? NULL : strstr(line, ">  ");
		if (mail && !read_date(mail + 3, ret))
			break;
		found = mail;
	}
	if (f)
		fclose(f);
	return found;
}

struct usp_error *epoch_word(const char *source, const char *target, char **ret)
{
	_cleanup_free_ char *changelog = NULL;
	struct stat st;
	time_t time;
	*ret = NULL;
	if (getenv("SOURCE_DATE_EPOCH"))
		return NULL;
	if (asprintf(&changelog, "%s/debian/changelog", source) < 0) {
		changelog = NULL;
		return &usp_error_no_memory;
	}
	if (!read_changelog(changelog, &time)) {
		if (stat(target, &st) < 0)
			return usp_error_errno(USP_NOT_FOUND, errno, "cannot look at %s", target);
		time = st.st_mtime;
	}
	if (asprintf(ret, "SOURCE_DATE_EPOCH=%lld", (long long)time) < 0) {
		*ret = NULL;
		return &usp_error_no_memory;
	}
	return NULL;
}
