// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "cli/timeline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "cli/report.h"
#include "cli/text.h"

struct timeline_file {
	const char *path;
	int fd;		   /* until something is written */
	FILE *out;	   /* from then on */
	bool made;	   /* it was not there */
	bool failed;	   /* memory ran out: what is written is not all */
	int errno_value;   /* of the first failed write; 0: none */
	size_t n_written;  /* objects */
	uint64_t began_ns; /* the first event: time 0 */
	struct json_object *processes;
};

/* ---- the file ---- */

enum usp_code timeline_file_open(struct cli *cli, struct timeline_file **ret)
{
	const char *path = cli->options.timeline;
	*ret = NULL;
	if (!path)
		return USP_OK;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC, 0666);
	bool made = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return report(cli, USP_FAILED, "the timeline cannot be written to %s: %s; nothing was done",
			      path, strerror(errno));
	struct timeline_file *file = calloc(1, sizeof(*file));
	struct json_object *processes = json_object_new_array();
	if (!file || !processes) {
		close(fd);
		if (made)
			unlink(path);
		json_object_put(processes);
		free(file);
		return report(cli, USP_FAILED, "out of memory");
	}
	*file = (struct timeline_file){.path = path, .fd = fd, .made = made, .processes = processes};
	*ret = file;
	return USP_OK;
}

static void note_failure(struct timeline_file *file)
{
	if (!file->errno_value)
		file->errno_value = errno ? errno : EIO;
}

/* What was in it goes now. */
static bool begin_writing(struct timeline_file *file)
{
	struct stat st;
	if (file->out)
		return true;
	if (file->fd < 0)
		return false;
	errno = 0;
	if ((fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(file->fd, 0) < 0) ||
	    !(file->out = fdopen(file->fd, "w"))) {
		note_failure(file);
		close(file->fd);
	}
	file->fd = -1;
	if (file->out)
		fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", file->out);
	return file->out != NULL;
}

/* ---- objects ---- */

/* Takes value; NULL: it could not be made. */
static void add(struct timeline_file *file, struct json_object *object, const char *key,
		struct json_object *value)
{
	if (!object || !value || json_object_object_add(object, key, value)) {
		json_object_put(value);
		file->failed = true;
	}
}

/* Names from a target are anything, and JSON is UTF-8. */
static void add_string(struct timeline_file *file, struct json_object *object, const char *key,
		       const char *value)
{
	_cleanup_(text_freep) char *printable = text_printable(value, true);
	add(file, object, key, json_object_new_string(printable));
}

static void add_number(struct timeline_file *file, struct json_object *object, const char *key,
		       uint64_t value)
{
	add(file, object, key, json_object_new_uint64(value));
}

/* The format counts in microseconds. */
static void add_time(struct timeline_file *file, struct json_object *object, const char *key, uint64_t ns)
{
	char text[40];
	snprintf(text, sizeof(text), "%" PRIu64 ".%03u", ns / 1000, (unsigned)(ns % 1000));
	add(file, object, key, json_object_new_double_s((double)ns / 1000, text));
}

/* Takes object. */
static void write_object(struct timeline_file *file, struct json_object *object)
{
	const char *text = object ? json_object_to_json_string_ext(
					    object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
				  : NULL;
	errno = 0;
	if (!text)
		file->failed = true;
	else if (fprintf(file->out, "%s\n%s", file->n_written++ ? "," : "", text) < 0)
		note_failure(file);
	json_object_put(object);
}

static struct json_object *object_of(struct timeline_file *file, const char *phase, pid_t pid, pid_t tid)
{
	struct json_object *o = json_object_new_object();
	add_string(file, o, "ph", phase);
	add_number(file, o, "pid", (uint64_t)pid);
	add_number(file, o, "tid", (uint64_t)tid);
	return o;
}

/* process_name, thread_name: what a viewer calls the track. */
static void write_label(struct timeline_file *file, const char *what, pid_t pid, pid_t tid, const char *label)
{
	struct json_object *o = object_of(file, "M", pid, tid), *args = json_object_new_object();
	add_string(file, o, "name", what);
	add_string(file, args, "name", label);
	add(file, o, "args", args);
	write_object(file, o);
}

/* ---- one action ---- */

struct action_words {
	char *title;	    /* "apply fix" */
	const char *result; /* as report_code_name() has it */
	pid_t pid;
};

/* What a viewer prints on the event: its name, and its detail where that is a few words. */
static void add_title(struct timeline_file *file, struct json_object *o,
		      const struct usp_timeline_event *event, const char *detail)
{
	_cleanup_free_ char *title = NULL;
	bool few = detail && !strchr(detail, '\n');
	int n = !strcmp(event->name, "try") && detail
			? asprintf(&title, "try %" PRIu64 ": %s", event->number, detail)
		: few ? asprintf(&title, "%s: %s", event->name, detail)
		      : asprintf(&title, "%s", event->name);
	if (n < 0) {
		title = NULL;
		file->failed = true;
	}
	add_string(file, o, "name", title ? title : event->name);
}

static void write_event(struct timeline_file *file, const struct usp_timeline_event *event,
			const struct action_words *words)
{
	pid_t self = getpid();
	bool of_action = event->tid == 0, whole = of_action && !strcmp(event->name, "action");
	struct json_object *o = object_of(file, event->moment ? "i" : "X", of_action ? self : words->pid,
					  of_action ? self : event->tid);
	struct json_object *args = json_object_new_object();
	const char *detail = whole ? words->result : event->detail;
	if (whole)
		add_string(file, o, "name", words->title);
	else
		add_title(file, o, event, detail);
	add_string(file, o, "cat", of_action ? "action" : "thread");
	add_time(file, o, "ts", event->begin_ns - file->began_ns);
	if (event->moment)
		add_string(file, o, "s", "t");
	else
		add_time(file, o, "dur", event->end_ns - event->begin_ns);
	add_string(file, args, "event", event->name);
	if (detail)
		add_string(file, args, "detail", detail);
	if (event->number)
		add_number(file, args, "number", event->number);
	add(file, o, "args", args);
	write_object(file, o);
}

/* By begin, and what encloses before what is inside: of two alike, the one that was told later is the outer
 * one. */
static int compare_events(const void *a, const void *b)
{
	const struct usp_timeline_event *x = *(const struct usp_timeline_event *const *)a;
	const struct usp_timeline_event *y = *(const struct usp_timeline_event *const *)b;
	if (x->begin_ns != y->begin_ns)
		return x->begin_ns < y->begin_ns ? -1 : 1;
	if (x->end_ns != y->end_ns)
		return x->end_ns > y->end_ns ? -1 : 1;
	return x > y ? -1 : x < y;
}

static void write_events(struct timeline_file *file, const struct usp_timeline *timeline,
			 const struct action_words *words)
{
	size_t n;
	const struct usp_timeline_event *events = usp_timeline_events(timeline, &n);
	_cleanup_free_ const struct usp_timeline_event **sorted = calloc(n + 1, sizeof(const void *));
	if (!sorted) {
		file->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = &events[i];
	qsort(sorted, n, sizeof(const void *), compare_events);
	if (n && !file->began_ns)
		file->began_ns = sorted[0]->begin_ns;
	for (size_t i = 0; i < n; i++)
		write_event(file, sorted[i], words);
}

static int compare_threads(const void *a, const void *b)
{
	const struct usp_timeline_thread *x = *(const struct usp_timeline_thread *const *)a;
	const struct usp_timeline_thread *y = *(const struct usp_timeline_thread *const *)b;
	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void write_threads(struct timeline_file *file, const struct usp_timeline *timeline, pid_t pid)
{
	size_t n;
	const struct usp_timeline_thread *threads = usp_timeline_threads(timeline, &n);
	_cleanup_free_ const struct usp_timeline_thread **sorted = calloc(n + 1, sizeof(const void *));
	if (!sorted) {
		file->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = &threads[i];
	qsort(sorted, n, sizeof(const void *), compare_threads);
	for (size_t i = 0; i < n; i++) {
		char label[40];
		if (i + 1 < n && sorted[i + 1]->tid == sorted[i]->tid)
			continue; /* the last name counts */
		snprintf(label, sizeof(label), "%.15s %d", sorted[i]->name, (int)sorted[i]->tid);
		write_label(file, "thread_name", pid, sorted[i]->tid, label);
	}
}

struct usp_timeline *timeline_file_begin(struct cli *cli, struct timeline_file *file)
{
	struct usp_timeline *timeline = NULL;
	struct usp_error *error = file ? usp_timeline_create(&timeline) : NULL;
	if (error) {
		report_note(cli, "no timeline of this: %s", error->message);
		usp_error_destroy(error);
		file->failed = true;
	}
	return timeline;
}

void timeline_file_add(struct cli *cli, struct timeline_file *file, struct usp_timeline *timeline, pid_t pid,
		       const char *payload, enum usp_code code)
{
	if (!timeline)
		return;
	struct action_words words = {.result = report_code_name(code), .pid = pid};
	if (asprintf(&words.title, "%s %s", cli->options.command->name, payload) < 0)
		words.title = NULL;
	bool first = !file->out;
	if (words.title && begin_writing(file)) {
		_cleanup_(text_freep) char *who = text_process(pid);
		if (first) {
			write_label(file, "process_name", getpid(), getpid(), "usplice");
			write_label(file, "thread_name", getpid(), getpid(), "phases");
		}
		write_label(file, "process_name", pid, pid, who);
		write_threads(file, timeline, pid);
		write_events(file, timeline, &words);
		struct json_object *o = json_object_new_object();
		add_number(file, o, "pid", (uint64_t)pid);
		add_string(file, o, "payload", payload);
		add_string(file, o, "result", words.result);
		add_number(file, o, "dropped", usp_timeline_dropped(timeline));
		if (json_object_array_add(file->processes, o)) {
			json_object_put(o);
			file->failed = true;
		}
	} else if (!words.title) {
		file->failed = true;
	}
	if (usp_timeline_dropped(timeline))
		report_note(cli, "%" PRIu64 " events of the timeline were not kept",
			    usp_timeline_dropped(timeline));
	free(words.title);
	usp_timeline_destroy(timeline);
}

/* ---- the end ---- */

static void write_end(struct cli *cli, struct timeline_file *file)
{
	struct json_object *o = json_object_new_object();
	char began[24];
	snprintf(began, sizeof(began), "%" PRIu64, file->began_ns);
	add_string(file, o, "usplice", USPLICE_VERSION_STRING);
	add_string(file, o, "command", cli->options.command->name);
	add_string(file, o, "clock", "CLOCK_MONOTONIC");
	add_string(file, o, "began_ns", began); /* a string: a JSON number need not hold 64 bits */
	add(file, o, "processes", json_object_get(file->processes));
	const char *text =
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	errno = 0;
	if (fprintf(file->out, "\n],\"otherData\":%s}\n", text ? text : "{}") < 0)
		note_failure(file);
	file->failed |= !text;
	json_object_put(o);
}

enum usp_code timeline_file_close(struct cli *cli, struct timeline_file *file)
{
	enum usp_code code = USP_OK;
	if (!file)
		return USP_OK;
	if (file->out) {
		write_end(cli, file);
		errno = 0;
		bool bad = ferror(file->out);
		if (fclose(file->out) || bad)
			note_failure(file);
	} else {
		if (file->fd >= 0)
			close(file->fd);
		if (file->made && !file->errno_value)
			unlink(file->path);
	}
	if (file->errno_value)
		code = report(cli, USP_FAILED,
			      "what was to be done is over, but its timeline could not be written to %s: %s",
			      file->path, strerror(file->errno_value));
	else if (file->failed)
		code = report(
			cli, USP_FAILED,
			"what was to be done is over, but its timeline in %s is not whole: out of memory",
			file->path);
	json_object_put(file->processes);
	free(file);
	return code;
}
