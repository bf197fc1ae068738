/* Writing HDF5. With matlab.c and hdf5_chunks.c, which read it, the only door to the HDF5 library.
 *
 * That library is one global thing: it keeps its tables of open objects for the whole process, most builds of it
 * may be entered by one thread at a time, and it prints its errors unless told not to. So every entry here holds
 * one lock, and between clsp_hdf5_enter and _leave the printing is off; what was set before is set again afterwards, for
 * a host program may use HDF5 too (if it does so on another thread meanwhile, the locking is its own affair). */
#include "formats/hdf5_library.h"
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "formats/arrays.h"

typedef struct dataset {
    char *name;
    hid_t id, type;
    int dims;
    hsize_t shape[CLSP_TENSOR_DIMS];
    size_t rows_written;
} dataset;

/* What the library writes through (a "virtual file driver"): a clsp_output, whole or absent like every file.
 * Its `base` comes first because the library knows it by that address. */
typedef struct outlet {
    H5FD_t base;
    clsp_output output;
    haddr_t allocated, written; /* ends of the address space that is given out, and that was written */
    clipspan_error problem;     /* the first failure; status CLIPSPAN_OK: none */
} outlet;

struct clsp_hdf5_writer {
    outlet out;
    hid_t file;
    dataset *sets; /* [count] */
    size_t count;
};

/* ---- the driver --------------------------------------------------------------------------------------- */

/* The library never learns of a failed write: it does not get over one (a file whose closing failed stays in its
 * tables and is closed again, freed, at exit). The driver remembers the first failure instead, drops what comes
 * after it, and every entry below asks check() before it reports success. */

static outlet *outlet_of(H5FD_t *file)
{
    return (outlet *)(void *)file;
}

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t maximum)
{
    (void)name, (void)flags, (void)maximum;
    outlet *const *info = H5Pget_driver_info(access);
    return info ? &(*info)->base : NULL;
}

static herr_t driver_close(H5FD_t *file) /* the outlet belongs to the writer */
{
    (void)file;
    return 0;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const outlet *)(const void *)file)->allocated;
}

static herr_t driver_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    outlet_of(file)->allocated = address;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const outlet *)(const void *)file)->written;
}

static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size, void *bytes)
{
    (void)type, (void)transfer;
    outlet *o = outlet_of(file);
    size_t got = 0;
    if (o->problem.status == CLIPSPAN_OK && clsp_output_seek(&o->output, address, &o->problem) == CLIPSPAN_OK)
        got = fread(bytes, 1, size, o->output.stream);
    memset((char *)bytes + got, 0, size - got);
    return 0;
}

static herr_t driver_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                           const void *bytes)
{
    (void)type, (void)transfer;
    outlet *o = outlet_of(file);
    if (o->problem.status == CLIPSPAN_OK && clsp_output_seek(&o->output, address, &o->problem) == CLIPSPAN_OK)
        clsp_output_write(&o->output, bytes, size, &o->problem);
    if (address + size > o->written) o->written = address + size;
    return 0;
}

static herr_t driver_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    outlet *o = outlet_of(file);
    if (o->problem.status != CLIPSPAN_OK || o->allocated == o->written) return 0;
    if (fflush(o->output.stream) != 0 || ftruncate(fileno(o->output.stream), (off_t)o->allocated) != 0)
        clsp_fail_errno(&o->problem, "%s: cannot be written", o->output.path);
    o->written = o->allocated;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = H5_VFD_RESERVED + 256, /* the first that nobody registers */
#endif
    .name = "clipspan",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(outlet *),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* ---- the library's global state ----------------------------------------------------------------------- */

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

clsp_hdf5_printing clsp_hdf5_enter(void)
{
    clsp_hdf5_printing before = {NULL, NULL};
    pthread_mutex_lock(&library_lock);
    H5Eget_auto2(H5E_DEFAULT, &before.print, &before.user);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return before;
}

void clsp_hdf5_leave(clsp_hdf5_printing before)
{
    H5Eset_auto2(H5E_DEFAULT, before.print, before.user);
    pthread_mutex_unlock(&library_lock);
}

static herr_t take_first(unsigned n, const H5E_error2_t *entry, void *user)
{
    char *text = user;
    if (n == 0 && entry->desc != NULL) snprintf(text, CLSP_HDF5_REASON, "%s", entry->desc);
    return 0;
}

/* The innermost entry of the error stack is the one that knows the reason. */
void clsp_hdf5_reason(char out[CLSP_HDF5_REASON])
{
    snprintf(out, CLSP_HDF5_REASON, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, out);
}

static clipspan_status failed(const clsp_hdf5_writer *w, const char *what, clipspan_error *err)
{
    char reason[CLSP_HDF5_REASON];
    clsp_hdf5_reason(reason);
    return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "%s: %s: HDF5: %s", w->out.output.path, what, reason);
}

/* What the driver kept from the library. */
static clipspan_status check(const clsp_hdf5_writer *w, clipspan_error *err)
{
    if (w->out.problem.status == CLIPSPAN_OK) return CLIPSPAN_OK;
    return clsp_fail(err, w->out.problem.status, "%s", w->out.problem.message);
}

/* ---- types -------------------------------------------------------------------------------------------- */

static hid_t half_type(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    bool good = type >= 0 && H5Tset_fields(type, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(type, 2) >= 0 &&
                H5Tset_ebias(type, 15) >= 0;
    if (good) return type;
    if (type >= 0) H5Tclose(type);
    return H5I_INVALID_HID;
}

/* h5py's and PyTables' convention: an enumeration of FALSE and TRUE over 8 bits. */
static hid_t bool_type(void)
{
    signed char no = 0, yes = 1;
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    bool good = type >= 0 && H5Tenum_insert(type, "FALSE", &no) >= 0 && H5Tenum_insert(type, "TRUE", &yes) >= 0;
    if (good) return type;
    if (type >= 0) H5Tclose(type);
    return H5I_INVALID_HID;
}

/* UTF-8 of any length, as h5py writes strings. */
static hid_t text_type(clsp_dtype unused)
{
    (void)unused;
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
    if (type >= 0) H5Tclose(type);
    return H5I_INVALID_HID;
}

/* The caller closes it. Values in memory are little endian as in the file, so one type serves both. */
static hid_t file_type(clsp_dtype dtype)
{
    switch (dtype) {
    case CLSP_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case CLSP_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case CLSP_F16: return half_type();
    case CLSP_I64: return H5Tcopy(H5T_STD_I64LE);
    case CLSP_I32: return H5Tcopy(H5T_STD_I32LE);
    case CLSP_I16: return H5Tcopy(H5T_STD_I16LE);
    case CLSP_I8: return H5Tcopy(H5T_STD_I8LE);
    case CLSP_U8: return H5Tcopy(H5T_STD_U8LE);
    case CLSP_BOOL: return bool_type();
    case CLSP_BF16:
    case CLSP_DTYPE_OTHER: break;
    }
    return H5I_INVALID_HID;
}

/* ---- the file ----------------------------------------------------------------------------------------- */

/* How an object of class `of` is made: without the time of day, so that the same content gives the same bytes. */
static hid_t timeless(hid_t of)
{
    hid_t how = H5Pcreate(of);
    if (how >= 0 && H5Pset_obj_track_times(how, 0) >= 0) return how;
    if (how >= 0) H5Pclose(how);
    return H5I_INVALID_HID;
}

static hid_t create_file(outlet *out)
{
    hid_t file = H5I_INVALID_HID, id = H5FDregister(&driver), access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t how = timeless(H5P_FILE_CREATE); /* the file's root group among them */
    if (id >= 0 && access >= 0 && how >= 0 && H5Pset_driver(access, id, &out) >= 0)
        file = H5Fcreate(out->output.path, H5F_ACC_TRUNC, how, access);
    if (how >= 0) H5Pclose(how);
    if (access >= 0) H5Pclose(access);
    if (id >= 0) H5FDunregister(id); /* the open file keeps it */
    return file;
}

clipspan_status clsp_hdf5_create(clsp_hdf5_writer **out, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_hdf5_writer *w = NULL;
    *out = NULL;
    CLSP_ALLOC(w, clsp_alloc_zero(1, sizeof *w));
    w->file = H5I_INVALID_HID;
    CLSP_TRY(clsp_output_open(&w->out.output, path, err));
    CLSP_TRY(clsp_output_seek(&w->out.output, 0, err)); /* a pipe is refused */
    clsp_hdf5_printing before = clsp_hdf5_enter();
    w->file = create_file(&w->out);
    if (w->file < 0) status = failed(w, "cannot be written", err);
    clsp_hdf5_leave(before);
    if (status != CLIPSPAN_OK) goto out;
    CLSP_TRY(check(w, err));
    *out = w;
    w = NULL;
out:
    clsp_hdf5_discard(w);
    return status;
}

static dataset *find(const clsp_hdf5_writer *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->sets[i].name, name) == 0) return &w->sets[i];
    return NULL;
}

/* Takes set->type over. */
static clipspan_status create_set(clsp_hdf5_writer *w, dataset *set, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    hid_t space = H5Screate_simple(set->dims, set->shape, NULL), how = timeless(H5P_DATASET_CREATE);
    if (set->type >= 0 && space >= 0 && how >= 0)
        set->id = H5Dcreate2(w->file, set->name, set->type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    if (set->id < 0) status = failed(w, set->name, err);
    if (how >= 0) H5Pclose(how);
    if (space >= 0) H5Sclose(space);
    if (status != CLIPSPAN_OK && set->type >= 0) H5Tclose(set->type);
    return status;
}

/* Copies the name; `make` of `dtype` is the type. */
static clipspan_status add_set(clsp_hdf5_writer *w, dataset set, const char *name, hid_t (*make)(clsp_dtype),
                               clsp_dtype dtype, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    dataset *sets;
    CLSP_ALLOC(sets, clsp_grow(w->sets, w->count + 1, sizeof *sets));
    w->sets = sets;
    CLSP_ALLOC(set.name, clsp_strdup(name));
    clsp_hdf5_printing before = clsp_hdf5_enter();
    set.type = make(dtype);
    status = create_set(w, &set, err);
    clsp_hdf5_leave(before);
    if (status != CLIPSPAN_OK) goto out;
    w->sets[w->count++] = set;
    set.name = NULL;
    CLSP_TRY(check(w, err));
out:
    clsp_free(set.name);
    return status;
}

clipspan_status clsp_hdf5_dataset(clsp_hdf5_writer *w, const char *name, clsp_dtype dtype, int dims,
                                  const size_t *shape, clipspan_error *err)
{
    dataset set = {.id = H5I_INVALID_HID, .type = H5I_INVALID_HID, .dims = dims};
    size_t bytes = clsp_dtype_size(dtype);
    bool good = dims >= 1 && dims <= CLSP_TENSOR_DIMS && bytes > 0 && dtype != CLSP_BF16 && find(w, name) == NULL;
    for (int d = 0; good && d < dims; d++) {
        good = clsp_mul(&bytes, bytes, shape[d]);
        set.shape[d] = shape[d];
    }
    if (!good)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "%s: data set '%s': its name, type (%s) or shape cannot be written",
                         w->out.output.path, name, clsp_dtype_name(dtype));
    return add_set(w, set, name, file_type, dtype, err);
}

/* Writes rows [first, first + rows) of the leading axis. */
static bool write_rows(const dataset *set, hsize_t first, hsize_t rows, const void *values)
{
    hsize_t start[CLSP_TENSOR_DIMS] = {first}, extent[CLSP_TENSOR_DIMS];
    memcpy(extent, set->shape, sizeof extent);
    extent[0] = rows;
    hid_t memory = H5Screate_simple(set->dims, extent, NULL), space = H5Dget_space(set->id);
    bool good = memory >= 0 && space >= 0 &&
                H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL) >= 0 &&
                H5Dwrite(set->id, set->type, memory, space, H5P_DEFAULT, values) >= 0;
    if (memory >= 0) H5Sclose(memory);
    if (space >= 0) H5Sclose(space);
    return good;
}

clipspan_status clsp_hdf5_write(clsp_hdf5_writer *w, const char *name, size_t first_row, size_t rows,
                                const void *values, clipspan_error *err)
{
    dataset *set = find(w, name);
    if (set == NULL || !clsp_range_ok(first_row, rows, set->shape[0]))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: data set '%s': %s", w->out.output.path, name,
                         set ? "rows beyond its shape" : "was not declared");
    if (rows == 0) return CLIPSPAN_OK;
    clipspan_status status = CLIPSPAN_OK;
    clsp_hdf5_printing before = clsp_hdf5_enter();
    if (!write_rows(set, first_row, rows, values)) status = failed(w, name, err);
    clsp_hdf5_leave(before);
    if (status != CLIPSPAN_OK) return status;
    set->rows_written += rows;
    return check(w, err);
}

clipspan_status clsp_hdf5_strings(clsp_hdf5_writer *w, const char *name, size_t count, clsp_string_fn get,
                                  const void *user, clipspan_error *err)
{
    enum { BLOCK = 256 };
    const char *block[BLOCK];
    dataset set = {.id = H5I_INVALID_HID, .type = H5I_INVALID_HID, .dims = 1, .shape = {count}};
    if (find(w, name) != NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: data set '%s' is there twice", w->out.output.path, name);
    clipspan_status status = add_set(w, set, name, text_type, CLSP_DTYPE_OTHER, err);
    for (size_t at = 0; at < count && status == CLIPSPAN_OK; at += BLOCK) {
        size_t n = clsp_min(BLOCK, count - at);
        for (size_t i = 0; i < n; i++) block[i] = get(user, at + i);
        status = clsp_hdf5_write(w, name, at, n, block, err);
    }
    return status;
}

clipspan_status clsp_hdf5_attribute(clsp_hdf5_writer *w, const char *key, const char *value, clipspan_error *err)
{
    clsp_hdf5_printing before = clsp_hdf5_enter();
    clipspan_status status = CLIPSPAN_OK;
    hid_t attribute = H5I_INVALID_HID, type = text_type(CLSP_DTYPE_OTHER), space = H5Screate(H5S_SCALAR);
    if (type >= 0 && space >= 0) attribute = H5Acreate2(w->file, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool good = attribute >= 0 && H5Awrite(attribute, type, &value) >= 0;
    if (!good) status = failed(w, key, err);
    if (attribute >= 0) H5Aclose(attribute);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    clsp_hdf5_leave(before);
    return status == CLIPSPAN_OK ? check(w, err) : status;
}

/* Closes whatever is open; false: the library could not write what it still held. */
static bool close_all(clsp_hdf5_writer *w)
{
    bool good = true;
    for (size_t i = 0; i < w->count; i++) {
        good &= H5Dclose(w->sets[i].id) >= 0;
        H5Tclose(w->sets[i].type);
        clsp_free(w->sets[i].name);
    }
    w->count = 0;
    if (w->file >= 0) good &= H5Fclose(w->file) >= 0;
    w->file = H5I_INVALID_HID;
    return good;
}

static clipspan_status check_complete(const clsp_hdf5_writer *w, clipspan_error *err)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->sets[i].rows_written != w->sets[i].shape[0])
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: data set '%s': %zu of %llu rows were written",
                             w->out.output.path,
                             w->sets[i].name, w->sets[i].rows_written, (unsigned long long)w->sets[i].shape[0]);
    return CLIPSPAN_OK;
}

clipspan_status clsp_hdf5_commit(clsp_hdf5_writer *w, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(check_complete(w, err));
    clsp_hdf5_printing before = clsp_hdf5_enter();
    if (!close_all(w)) status = failed(w, "cannot be closed", err);
    clsp_hdf5_leave(before);
    if (status != CLIPSPAN_OK) goto out;
    CLSP_TRY(check(w, err));
    CLSP_TRY(clsp_output_commit(&w->out.output, err));
out:
    clsp_hdf5_discard(w);
    return status;
}

void clsp_hdf5_discard(clsp_hdf5_writer *w)
{
    if (w == NULL) return;
    clsp_hdf5_printing before = clsp_hdf5_enter();
    close_all(w);
    clsp_hdf5_leave(before);
    clsp_output_discard(&w->out.output);
    clsp_free(w->sets);
    clsp_free(w);
}
