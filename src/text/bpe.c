/* Byte-pair merging with a heap of candidates and a linked list of symbols: n log n for a word of n bytes.
 *
 * Both published programs take the pair of lowest rank first, the leftmost among equals. They differ where a merge
 * makes a pair of lower rank than its own: the tokenizers library takes that at once, open_clip first joins the
 * current pair everywhere in the word. Vocabularies from training hardly ever show the difference.
 */
#include "text/bpe.h"

void clsp_word_free(clsp_word *word)
{
    clsp_free(word->symbols);
    clsp_free(word->heap);
    *word = (clsp_word){0};
}

/* Candidates ever alive: length - 1 at first and two for each of at most length - 1 merges. */
static clipspan_status reserve(clsp_word *word, size_t length, clipspan_error *err)
{
    if (length <= word->capacity) return CLIPSPAN_OK;
    if (length > INT32_MAX / 4) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a word of %zu bytes", length);
    size_t capacity = clsp_max(length, 64);
    clsp_word_free(word);
    word->symbols = clsp_alloc(capacity, sizeof *word->symbols);
    word->heap = clsp_alloc(capacity * 3, sizeof *word->heap);
    if (word->symbols == NULL || word->heap == NULL) {
        clsp_word_free(word);
        return clsp_fail_memory(err);
    }
    word->capacity = capacity;
    return CLIPSPAN_OK;
}

static bool before(const clsp_candidate *a, const clsp_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void sift_up(clsp_candidate *heap, size_t i)
{
    while (i > 0 && before(&heap[i], &heap[(i - 1) / 2])) {
        clsp_candidate other = heap[i];
        heap[i] = heap[(i - 1) / 2];
        heap[(i - 1) / 2] = other;
        i = (i - 1) / 2;
    }
}

static void sift_down(clsp_candidate *heap, size_t count)
{
    for (size_t i = 0;;) {
        size_t least = i, left = 2 * i + 1, right = 2 * i + 2;
        if (left < count && before(&heap[left], &heap[least])) least = left;
        if (right < count && before(&heap[right], &heap[least])) least = right;
        if (least == i) return;
        clsp_candidate other = heap[i];
        heap[i] = heap[least];
        heap[least] = other;
        i = least;
    }
}

/* Those that wait stand right behind the heap, so that letting the first of them in is a matter of counting. */
static void admit(clsp_word *word)
{
    for (; word->waiting > 0; word->waiting--) sift_up(word->heap, word->heaped++);
}

static clsp_candidate pop(clsp_word *word)
{
    clsp_candidate top = word->heap[0];
    size_t last = --word->heaped;
    word->heap[0] = word->heap[last];
    sift_down(word->heap, word->heaped);
    if (word->waiting > 0) word->heap[last] = word->heap[last + word->waiting]; /* close the gap */
    return top;
}

static const clsp_merge *merge_at(const clsp_word *word, const clsp_vocabulary *vocabulary, int32_t position)
{
    if (position < 0 || word->symbols[position].id < 0 || word->symbols[position].next < 0) return NULL;
    const clsp_symbol *left = &word->symbols[position];
    return clsp_vocabulary_merge(vocabulary, left->id, word->symbols[left->next].id);
}

static void propose(clsp_word *word, const clsp_vocabulary *vocabulary, int32_t position)
{
    const clsp_merge *merge = merge_at(word, vocabulary, position);
    if (merge == NULL) return;
    word->heap[word->heaped + word->waiting++] = (clsp_candidate){merge->rank, position, merge->id};
}

static void begin(clsp_word *word, const clsp_vocabulary *vocabulary, const unsigned char *bytes, size_t length)
{
    word->length = length;
    word->heaped = word->waiting = 0;
    for (size_t i = 0; i < length; i++) {
        bool last = i + 1 == length;
        word->symbols[i] = (clsp_symbol){last ? vocabulary->byte_end[bytes[i]] : vocabulary->byte[bytes[i]],
                                         (int32_t)i - 1, last ? -1 : (int32_t)i + 1};
    }
    for (size_t i = 0; i + 1 < length; i++) propose(word, vocabulary, (int32_t)i);
    admit(word);
}

static void join(clsp_word *word, const clsp_vocabulary *vocabulary, int32_t position, int32_t id)
{
    clsp_symbol *left = &word->symbols[position], *right = &word->symbols[left->next];
    left->id = id;
    left->next = right->next;
    right->id = -1;
    if (left->next >= 0) word->symbols[left->next].previous = position;
    propose(word, vocabulary, left->previous);
    propose(word, vocabulary, position);
}

clipspan_status clsp_word_join(clsp_word *word, const clsp_vocabulary *vocabulary, clsp_tokenizer_manner manner,
                               const unsigned char *bytes, size_t length, clipspan_error *err)
{
    clipspan_status status = reserve(word, length, err);
    if (status != CLIPSPAN_OK) return status;
    bool passes = manner == CLSP_TOKENIZER_OPEN_CLIP;
    begin(word, vocabulary, bytes, length);
    while (word->heaped > 0) {
        clsp_candidate top = pop(word);
        const clsp_merge *merge = merge_at(word, vocabulary, top.position);
        /* what stood here may have been joined otherwise; the library compares the outcome alone */
        if (merge != NULL && merge->id == top.id && (!passes || merge->rank == top.rank))
            join(word, vocabulary, top.position, merge->id);
        if (!passes || word->heaped == 0 || word->heap[0].rank != top.rank) admit(word);
    }
    return CLIPSPAN_OK;
}
