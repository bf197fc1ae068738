/* Reading MATLAB v7.3 files: cells of uint8 arrays behind HDF5 object references. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "formats/hdf5_library.h"
#include "formats/matlab.h"

/* An array of bytes may have as many pixels as the largest picture that is read, three planes each; a chunk is read and
 * unpacked whole, so it is bounded too. */
enum { MAX_CELLS = 16777216, MAX_CHUNK = 1 << 28, CELLS_IN_CELLS = 2 };
static const size_t MAX_BYTES = (size_t)3 * 178956970;

struct clsp_matlab {
    char *path;
    hid_t file;
};

/* ---- opening ------------------------------------------------------------------------------------------ */

static clipspan_status failed(const clsp_matlab *m, const char *what, clipspan_error *err)
{
    char reason[CLSP_HDF5_REASON];
    clsp_hdf5_reason(reason);
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s: HDF5: %s", m->path, what, reason);
}

/* reason: HDF5's. */
static clipspan_status refuse(const char *path, const char *start, const char *reason, clipspan_error *err)
{
    if (strncmp(start, "MATLAB 5.0 MAT-file", 19) == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                         "%s: is a MATLAB 5 file, expected version 7.3 (save it with '-v7.3')", path);
    if (strncmp(start, "MATLAB 7.3", 10) == 0 || memcmp(start, "\x89HDF", 4) == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: cannot be opened: HDF5: %s", path, reason);
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: is not a MATLAB v7.3 file (HDF5)", path);
}

/* size: bytes of an image in memory; NULL: the file at path. */
static hid_t open_file(const char *path, const void *bytes, size_t size, char reason[CLSP_HDF5_REASON])
{
    hid_t file = H5I_INVALID_HID, access = H5Pcreate(H5P_FILE_ACCESS);
    bool good = access >= 0;
    if (good && bytes != NULL)
        good = H5Pset_fapl_core(access, 1 << 16, 0) >= 0 && H5Pset_file_image(access, (void *)(uintptr_t)bytes, size) >= 0;
    if (good) file = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (file < 0) clsp_hdf5_reason(reason); /* the next call forgets it */
    if (access >= 0) H5Pclose(access);
    return file;
}

static clipspan_status open_any(clsp_matlab **out, const char *path, const void *bytes, size_t size, const char *start,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_matlab *m = NULL;
    char reason[CLSP_HDF5_REASON] = "";
    CLSP_ALLOC(m, clsp_alloc_zero(1, sizeof *m));
    m->file = H5I_INVALID_HID;
    CLSP_ALLOC(m->path, clsp_strdup(path));
    clsp_hdf5_printing before = clsp_hdf5_enter();
    m->file = open_file(path, bytes, size, reason);
    clsp_hdf5_leave(before);
    if (m->file < 0) CLSP_TRY(refuse(path, start, reason, err));
    *out = m;
    m = NULL;
out:
    clsp_matlab_close(m);
    return status;
}

clipspan_status clsp_matlab_open(clsp_matlab **out, const char *path, clipspan_error *err)
{
    char start[32] = "";
    clsp_map map;
    *out = NULL;
    clipspan_status status = clsp_map_open(&map, path, err); /* says what is wrong with a file that cannot be read */
    if (status != CLIPSPAN_OK) return status;
    if (map.size > 0) memcpy(start, map.bytes, clsp_min(map.size, sizeof start - 1));
    clsp_map_close(&map);
    return open_any(out, path, NULL, 0, start, err);
}

clipspan_status clsp_matlab_parse(clsp_matlab **out, const void *bytes, size_t size, const char *name,
                                  clipspan_error *err)
{
    char start[32] = "";
    *out = NULL;
    memcpy(start, bytes, clsp_min(size, sizeof start - 1));
    return size == 0 ? refuse(name, start, "", err) : open_any(out, name, bytes, size, start, err);
}

void clsp_matlab_close(clsp_matlab *file)
{
    if (file == NULL) return;
    clsp_hdf5_printing before = clsp_hdf5_enter();
    if (file->file >= 0) H5Fclose(file->file);
    clsp_hdf5_leave(before);
    clsp_free(file->path);
    clsp_free(file);
}

/* ---- a data set --------------------------------------------------------------------------------------- */

typedef struct dataset {
    hid_t id, type, space;
    int dims;
    hsize_t shape[H5S_MAX_RANK];
    hsize_t count; /* elements; MAX_BYTES + 1: too many to count */
} dataset;

static void dataset_close(dataset *set)
{
    if (set->space >= 0) H5Sclose(set->space);
    if (set->type >= 0) H5Tclose(set->type);
    if (set->id >= 0) H5Oclose(set->id);
}

static bool known_filters(hid_t how)
{
    int count = H5Pget_nfilters(how);
    for (int i = 0; i < count; i++) {
        unsigned flags;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(how, (unsigned)i, &flags, &values, NULL, 0, NULL, NULL);
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32) return false;
    }
    return count >= 0;
}

static bool small_chunks(hid_t how)
{
    hsize_t chunk[H5S_MAX_RANK], bytes = 1;
    int dims = H5Pget_chunk(how, H5S_MAX_RANK, chunk);
    for (int d = 0; d < dims; d++) {
        if (chunk[d] == 0 || bytes > MAX_CHUNK / chunk[d]) return false;
        bytes *= chunk[d];
    }
    return dims > 0;
}

/* Only what MATLAB writes is read: bytes of this file, whole or in chunks of known filters. */
static bool plain_storage(hid_t id)
{
    hid_t how = H5Dget_create_plist(id);
    if (how < 0) return false;
    H5D_layout_t layout = H5Pget_layout(how);
    bool good = H5Pget_external_count(how) == 0 && known_filters(how) &&
                (layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || (layout == H5D_CHUNKED && small_chunks(how)));
    H5Pclose(how);
    return good;
}

/* Takes the object `id` over. */
static clipspan_status dataset_look(dataset *set, const clsp_matlab *m, hid_t id, const char *name, clipspan_error *err)
{
    *set = (dataset){.id = id, .type = H5I_INVALID_HID, .space = H5I_INVALID_HID, .count = 1};
    if (id < 0) return failed(m, name, err);
    if (H5Iget_type(id) != H5I_DATASET)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s is not an array", m->path, name);
    set->type = H5Dget_type(id);
    set->space = H5Dget_space(id);
    if (set->type < 0 || set->space < 0) return failed(m, name, err);
    set->dims = H5Sget_simple_extent_ndims(set->space);
    if (set->dims < 0 || H5Sget_simple_extent_dims(set->space, set->shape, NULL) < 0) return failed(m, name, err);
    for (int d = 0; d < set->dims; d++) {
        bool many = set->shape[d] > 0 && set->count > MAX_BYTES / set->shape[d];
        set->count = many ? (hsize_t)MAX_BYTES + 1 : set->count * set->shape[d];
        if (many) break;
    }
    if (!plain_storage(id))
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: %s is stored as MATLAB does not store arrays", m->path, name);
    return CLIPSPAN_OK;
}

static bool holds_references(const dataset *set)
{
    return H5Tget_class(set->type) == H5T_REFERENCE && H5Tequal(set->type, H5T_STD_REF_OBJ) > 0;
}

static bool holds_bytes(const dataset *set)
{
    return H5Tget_class(set->type) == H5T_INTEGER && H5Tget_size(set->type) == 1 && H5Tget_sign(set->type) == H5T_SGN_NONE;
}

static clipspan_status dataset_read(const dataset *set, const clsp_matlab *m, const char *name, hid_t type, void *out,
                                    clipspan_error *err)
{
    bool whole = false;
    clipspan_status status = clsp_hdf5_whole(&whole, set->id, (size_t)set->count, H5Tget_size(set->type), err);
    if (status != CLIPSPAN_OK) return status;
    if (!whole) return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s is damaged: bytes are missing", m->path, name);
    return H5Dread(set->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0 ? CLIPSPAN_OK : failed(m, name, err);
}

/* ---- cells -------------------------------------------------------------------------------------------- */

/* Every part of the path must be a link inside this file. */
static bool links_inside(hid_t file, const char *field)
{
    char part[256];
    for (const char *end = field; end != NULL;) {
        end = strchr(end + (end != field), '/');
        size_t length = end ? (size_t)(end - field) : strlen(field);
        H5L_info_t about;
        if (length >= sizeof part) return false;
        memcpy(part, field, length);
        part[length] = '\0';
        if (H5Lexists(file, part, H5P_DEFAULT) <= 0 || H5Lget_info(file, part, &about, H5P_DEFAULT) < 0 ||
            about.type != H5L_TYPE_HARD)
            return false;
    }
    return true;
}

static clipspan_status read_cells(const dataset *set, const clsp_matlab *m, const char *field, uint64_t **references,
                                  size_t *count, clipspan_error *err)
{
    if (!holds_references(set))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s is no cell array (it holds no object references)", m->path,
                         field);
    bool line = set->dims == 2 && (set->shape[0] == 1 || set->shape[1] == 1) && set->count > 0;
    if (!line || set->count > MAX_CELLS)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: cell array %s is [%llu, %llu] in %d dimensions, expected [1, n] or "
                         "[n, 1]", m->path, field, (unsigned long long)(set->dims > 0 ? set->shape[0] : 0),
                         (unsigned long long)(set->dims > 1 ? set->shape[1] : 0), set->dims);
    hobj_ref_t *all = clsp_alloc((size_t)set->count, sizeof *all); /* an address of 64 bits */
    if (all == NULL) return clsp_fail_memory(err);
    clipspan_status status = dataset_read(set, m, field, H5T_STD_REF_OBJ, all, err);
    if (status != CLIPSPAN_OK) {
        clsp_free(all);
        return status;
    }
    *references = all;
    *count = (size_t)set->count;
    return CLIPSPAN_OK;
}

clipspan_status clsp_matlab_cells(const clsp_matlab *file, const char *field, uint64_t **references, size_t *count,
                                  clipspan_error *err)
{
    clipspan_status status;
    dataset set;
    *references = NULL;
    *count = 0;
    clsp_hdf5_printing before = clsp_hdf5_enter();
    if (!links_inside(file->file, field)) {
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: has no array %s", file->path, field);
    } else {
        status = dataset_look(&set, file, H5Oopen(file->file, field, H5P_DEFAULT), field, err);
        if (status == CLIPSPAN_OK) status = read_cells(&set, file, field, references, count, err);
        dataset_close(&set);
    }
    clsp_hdf5_leave(before);
    return status;
}

static hid_t follow(const clsp_matlab *m, hobj_ref_t reference)
{
    return H5Rdereference2(m->file, H5P_DEFAULT, H5R_OBJECT, &reference);
}

static clipspan_status check_bytes(const dataset *set, const clsp_matlab *m, const char *name, clipspan_error *err)
{
    if (!holds_bytes(set))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s is not of type uint8", m->path, name);
    if (set->dims != 2 && set->dims != 3)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s has %d dimensions, expected 2 or 3", m->path, name, set->dims);
    if (set->count == 0 || set->count > MAX_BYTES)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s is empty or too large (at most %zu bytes)", m->path, name,
                         MAX_BYTES);
    return CLIPSPAN_OK;
}

static clipspan_status read_bytes(clsp_matlab_array *out, const dataset *set, const clsp_matlab *m, const char *name,
                                  bool with_data, clipspan_error *err)
{
    clipspan_status status = check_bytes(set, m, name, err);
    if (status != CLIPSPAN_OK) return status;
    out->dims = set->dims;
    for (int d = 0; d < set->dims; d++) out->shape[d] = (size_t)set->shape[d];
    if (!with_data) return CLIPSPAN_OK;
    out->data = clsp_alloc((size_t)set->count, 1);
    if (out->data == NULL) return clsp_fail_memory(err);
    status = dataset_read(set, m, name, H5T_NATIVE_UINT8, out->data, err);
    if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
    clsp_free(out->data);
    out->data = NULL;
    return status;
}

static clipspan_status read_array(clsp_matlab_array *out, const clsp_matlab *m, hobj_ref_t reference, const char *name,
                                  bool with_data, int cells_left, clipspan_error *err)
{
    dataset set;
    hobj_ref_t inner = 0;
    clipspan_status status = dataset_look(&set, m, follow(m, reference), name, err);
    bool cell = status == CLIPSPAN_OK && cells_left > 0 && set.count == 1 && holds_references(&set);
    if (cell) status = dataset_read(&set, m, name, H5T_STD_REF_OBJ, &inner, err);
    if (status == CLIPSPAN_OK && !cell) status = read_bytes(out, &set, m, name, with_data, err);
    dataset_close(&set);
    if (status != CLIPSPAN_OK || !cell) return status;
    return read_array(out, m, inner, name, with_data, cells_left - 1, err);
}

clipspan_status clsp_matlab_array_read(clsp_matlab_array *out, const clsp_matlab *file, uint64_t reference,
                                       const char *name, bool with_data, clipspan_error *err)
{
    *out = (clsp_matlab_array){0};
    clsp_hdf5_printing before = clsp_hdf5_enter();
    clipspan_status status = read_array(out, file, reference, name, with_data, CELLS_IN_CELLS, err);
    clsp_hdf5_leave(before);
    return status;
}
