"""The texts of the tokenizer's goldens and of the live comparison, as bytes."""

PLAIN = [
    '', ' ', '   ', '\t\n', 'a', 'A', 'a photo of a cat', 'A Photo Of A CAT.', '  leading and trailing  ',
    'two  spaces   three', 'tabs\tand\nlines\r\nand\rmore', 'hyphen-ated words, and: punctuation; here!', '!!!', '...', '?!?!',
    'a,b,c', 'snake_case_name', 'CamelCaseName', 'e-mail@example.com', 'http://example.com/a?b=c&d=e#f', 'C:\\path\\file.txt',
    '100%', '$5.99', '1234567890', '3.14159', '1,000,000', '2024-01-31', '12:34:56', 'x2y3z', '4k video', 'mp3', '007',
    "it's", "IT'S", "we'll they've I'm you're he'd don't", "'s", "'", "''", "'''s", "rock 'n' roll", "'tis", "'twas the night",
    "o'clock", "d'or l'eau", "'re 've 'm 'll 'd 't", "a's's", "!'s", "s'", "can't've", '"quoted"', '`code`', '(brackets) [square] {curly}',
    '#hashtag @mention', 'a+b=c', '<tag>', '</tag>', 'a < b > c', '~!@#$%^&*()_+-=', 'C++ and C#', '\\n', '%20', 'ALL CAPS TEXT',
]

LATIN = [
    'café', 'cafe\u0301', 'naïve', 'Ångström', 'A\u030angstro\u0308m', 'straße', 'STRASSE', 'Straẞe', 'ﬁne ﬂow oﬀer aﬃx waﬄe',
    'ĳsje Ĳsland', 'ŉ', 'Ǆ ǅ ǆ Ǉ ǈ ǉ Ǌ ǋ ǌ Ǳ ǲ ǳ', 'ﬅ ﬆ', 'İstanbul', 'ISTANBUL', 'ıstanbul', 'i\u0307', 'I\u0307', 'Işık', 'Żółć', 'Dvořák',
    'Øre Ærø', 'þorn Ðe', 'ſhort ſ', "it'ſ", "IT'ſ", 'Kelvin \u212a', '\u2126 ohm', '\u212bngstrom', 'ªº', 'œuvre', 'Điện Biên Phủ', 'tiếng Việt', 'ŵ ẁ',
    'q\u0323\u0307', 'q\u0307\u0323', 'd\u0323\u0307', '\u1e0b\u0323', 'a\u0300\u0301\u0302\u0303', '\u0301abc', 'e\u0301\u0323',
]

SCRIPTS = [
    'Ελληνικά', 'ΟΔΥΣΣΕΥΣ', 'ΣΑΣ', 'Σ', 'ΑΣ', 'ΑΣ.', 'ΑΣΑ', 'ΑΣ ΑΣ', "ΑΣ'", "ΑΣ'Α", 'ΑΣ\u0301', 'ΑΣ\u00ad', '1Σ', 'Σ1', 'ΑΣ1', '.Σ', 'Α.Σ', 'Α\u0345Σ',
    'ΆΣ ΈΣ', 'ᾈ ᾳ ᾼ', 'ΐ', 'ϊ\u0301', 'ά \u1f71', 'Ⅳ Σ', 'ⅣΣ', 'ⓐΣ ⒶΣ', 'ʰΣ', 'Русский текст', 'ПРИВЕТ МИР', 'Ёлка', 'Е\u0308лка', 'й и\u0306', 'Україна',
    'Ђорђе', 'Հայերեն', 'ՀԱՅԵՐԵՆ', 'և', 'ქართული', 'ᲥᲐᲠᲗᲣᲚᲘ', 'עברית', 'שָׁלוֹם', '\u05e9\u05c1', '\ufb2a', 'العربية', 'مَرْحَبًا', 'لا', '\ufefb', '\u0644\u0627', '٠١٢٣٤٥٦٧٨٩', 'فارسی ۱۲۳',
    'اردو', 'हिन्दी', 'नमस्ते दुनिया', '१२३', 'क\u093c', '\u0958', 'বাংলা', 'ਪੰਜਾਬੀ', 'ગુજરાતી', 'தமிழ்', 'తెలుగు', 'ಕನ್ನಡ', 'മലയാളം', 'සිංහල', 'ไทย', 'ภาษาไทยไม่มีช่องว่าง', 'ลาว ລາວ',
    'བོད་སྐད', 'မြန်မာ', 'ភាសាខ្មែរ', 'አማርኛ', '中文', '中文 描述 一只猫', '繁體中文', '日本語のテキスト', 'カタカナ', 'ｶﾀｶﾅ', 'ｶﾞｷﾞ', 'か\u3099', 'が', 'ひらがな', '한국어', '\u1112\u1161\u11ab', '\uffa1\uffc2', '안녕하세요 세계', '〇一二三',
    '㈱ ㍿ ㎏', '〒100-0001', '。、「」', '𠮷野家', 'ꦧꦱꦗꦮ', 'ᏣᎳᎩ', 'ꮳꮃꭹ', 'ᐃᓄᒃᑎᑐᑦ', 'ᚠᚢᚦ', '𐐀𐐨', '𝒜𝓁𝓅𝒽𝒶', '𝟘𝟙𝟚', '𞤀𞤢', 'ⴰⵣⵓⵍ', 'ꙂꙃꙄ', 'Ⲁⲁ',
    '½ ¼ ²³ ①②③ Ⅷ ⅷ', '௧௨', '〡〢', '一', '𒐀', '١٫٥', 'x²+y²', 'H₂O', 'CO₂', '10³', '№ 5', '℃ ℉', '™ ® ©',
]

WIDE = [
    'ＡＢＣ', 'ａｂｃ １２３', 'ＬＯＵＤ　ＮＯＩＳＥＳ', '！＂＃＄％＆＇', '￠￡￢￣￤￥￦', '｟｠｡｢｣､･', '￨￩￪￫￬￭￮', '　ideographic　space　',
]

EMOJI = [
    '😀', '😀😀😀', 'smile 😀!', '👩\u200d🚀', '👨\u200d👩\u200d👧\u200d👦', '🏳️\u200d🌈', '🇩🇪🇫🇷', '👍🏽', '❤️', '❤', '☺', '1️⃣', '🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f',
    'cat🐱dog🐶', '🐱 🐶', '→ ← ↑', '★☆', '♠♥♦♣', '✓ ✔', '•', '— – -', '…', '∑∞≠', '█▓▒', '🫠🫡', '\ufe0f', '\u200d',
]

SPACES = [
    'a\u00a0b', 'a\u2003b', 'a\u200bb', 'a\u202fb', 'a\u205fb', 'a\u3000b', 'a\u1680b', 'a\u180eb', 'a\u2028b', 'a\u2029b', 'a\x85b', 'a\x0bb', 'a\x0cb',
    'a\x1cb\x1db\x1eb\x1fb', '\ufeffbom', 'bom\ufeff', 'a\u2060b', 'a\u00adb', 'a\u200eb\u200fb', '\u00a0', '\u3000', '\u200b', '\xa0 \u2003 \u3000 x', 'a\r\r\nb', 'a\n\n\nb',
    'x \u0301y', '\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200ax',
]

CONTROLS = [
    'a\x00b', 'a\x01b\x02c', '\x07bell', 'a\x7fb', '\x80\x81\x82', 'a\x91b\x92', '\x9f', 'a\u206ab', 'a\ufff9b\ufffa', 'a\ufffcb', 'a\ufffdb', '\ufdd0', '\uffff', '\U0010ffff', '\ue000 private',
    '\x1b[31mred\x1b[0m', '\x1b[1;32mgreen', '\x1b[m', '\x1b[', '\x1b]0;t\x07', '\x1b[٣m', '\x1b\x1b[1m[1m', '\x1b[12', 'x\x1b[1\x01m',
]

QUOTES = [
    '\u2018single\u2019', '\u201cdouble\u201d', 'it\u2019s', 'we\u2019ll', '\u201alow\u2018 \u201elow\u201c', '\u2039a\u203a «b»', 'a\u02bcb', '\u201b \u201f', '\u2032 \u2033', "`a'", "''s", '\u2019s', '\u2019\u2019',
]

ENTITIES = [
    '&amp;', '&amp;amp;', '&amp;amp;amp;', '&amp;amp;amp;amp;lt;', '&lt;b&gt;', '&amp;lt;b&amp;gt;', '&quot;x&quot;', '&apos;s', "it&#39;s", 'it&#x27;s', 'it&#X27;S', '&nbsp;', 'a&nbsp;b', '&copy; &reg; &trade;', '&copy &reg',
    '&eacute;', '&EACUTE;', 'P&EACUTE;REZ', '&ntilde;&NTILDE;&nTILDE;', 'BUNDESSTRA&SZLIG;E', '&AMP;', '&LT;', '&notit;', '&not', '&notin;', '&notinva;', 'this&not that', '&ampx', '&ltx', '&x', '&', '&&', '& ', '&;', '&#', '&#;', '&#x', '&#x;', '&#xg;',
    '&#65;', '&#65', '&#65x', '&#065;', '&#x41;', '&#x41', '&#x41g', '&#x1F600;', '&#128512;', '&#0;', '&#00', '&#1;', '&#11;', '&#12;', '&#13;', '&#128;', '&#x80;', '&#129;', '&#146;', '&#150;', '&#159;', '&#x9f', '&#160;', '&#xD800;', '&#xdfff;',
    '&#x110000;', '&#1114112;', '&#99999999999999999999;', '&#xFFFFFFFFFFFFFFFFF;', '&#xfdd0;', '&#xfffe;', '&#x1ffff;', '&#59;', '&#x3b;', '&#38;amp;', '&#38;#38;#65;', '&ThisNameIsMuchTooLongToBeAnEntityAtAll;', '&CounterClockwiseContourIntegral;', '&hellip;', '&fjlig;', '&NotEqualTilde;', '&nGt;',
    '<b>&amp;</b>', '<&eacute;&EACUTE;>', 'a &lt b', 'one < two\n&EACUTE;', '&EACUTE;\none < two\n&EACUTE;', '&amp;EACUTE;', '&amp;eacute', '&é;', '&amp\u00e9', '&amp;\u2019', '&rsquo;s', '&lsquo;x&rsquo; &ldquo;y&rdquo;', '&zwj;', '&shy;', '&ensp;&emsp;x', '&NewLine;&Tab;x', '&ffilig;', '&DZcy;', '&Jscr;ohn',
    '&lt;|endoftext|&gt;', '&amp;#x3C;', 'AT&T', 'R&D;', 'Q&A', 'B&B;s', 'x&y=z', '&para=1&sect=2', '?a=1&copy=2', '&#x26;lt;', '&lang; &rang;', '&Hat;', '&sub;&sube;&sup2;', '&frac12;', '&amp;frac12', '&there4;', '&b.alpha;', '&Aacut', '&aacute', '&aacutex',
]

SPECIAL = [
    '<|startoftext|>', '<|endoftext|>', 'a <|startoftext|> b', 'a<|endoftext|>b', '<|STARTOFTEXT|>', '<|EndOfText|>!!', '!!<|endoftext|>!!', '!!<|ENDOFTEXT|>!!', '<|endoftext|><|endoftext|>', '<|startoftext', '<start_of_text>', '<end_of_text>', '<START_OF_TEXT>',
    'a <start_of_text> b', 'a<end_of_text>b', '!!<end_of_text>!!', '<\u017ftart_of_text>', '<|\u017ftartoftext|>', '&lt;start_of_text&gt;', '<|endoftext|>\u0301', 'e<|endoftext|>\u0301', '<|pad|>', '</w>', 'a</w>', '\u0120a',
]

INVALID = [
    b'\x80', b'\xbf', b'a\xffb', b'\xc0\x80', b'\xc1\xbf', b'\xc2', b'\xc2a', b'\xe0\x80\x80', b'\xe0\xa0', b'\xe0\xa0a', b'\xe2\x82', b'\xe2\x82a', b'\xe2\x28\xa1', b'\xed\xa0\x80', b'\xed\xbf\xbf', b'\xed\xa0\x80\xed\xb0\x80', b'\xf0\x80\x80\x80',
    b'\xf0\x90\x80', b'\xf0\x9f\x98', b'\xf0\x9f\x98a', b'\xf0\x9f', b'\xf0', b'\xf4\x90\x80\x80', b'\xf5\x80\x80\x80', b'\xf8\x88\x80\x80\x80', b'\xfe\xff', b'abc\xe9def', b'caf\xe9', b'\xe4\xb8', b'\xe4\xb8\xad\xe6\x96', b'a\xc3\x28b',
    b'\xf1\x80\x80\xe1\x80\xc2b\x80c\x80\xbfd', b'\xef\xbf', b'\xef\xbb\xbf', b'\xef\xbf\xbd', b'good \xf0\x9f\x98\x80 bad \xf0\x9f\x98 end', b'\x00\xff\x00',
]

LONG = [
    'a photo of ' + 'very ' * 120 + 'long text', 'a' * 300, 'ab' * 400, 'abcdefghij' * 30, 'é' * 200, '中' * 200, '😀' * 60, '!' * 300, '1' * 200, "'s" * 100, 'x ' * 100, 'word' * 75 + ' end', 'antidisestablishmentarianism ' * 20,
    ' ' * 500 + 'x', 'q\u0323\u0307' * 60, 'a' + '\u0301\u0323' * 40, 'Σ' * 100,
]

PROSE = [
    'A close-up of a red bicycle leaning against a brick wall.', 'An old man reading a newspaper on a bench in the park', 'three dogs running along the beach at sunset', 'the word "OPEN" in neon letters', 'A black-and-white photograph of the Eiffel Tower, 1923',
    'people dancing at a wedding in Kraków', 'Schnee auf den Dächern', 'une tasse de café sur la table', 'El Niño y la niña', 'çok güzel bir gün', 'a bowl of phở', 'kitchen with stainless-steel fridge & oven', 'mountains — misty, blue, far away…', 'a $20 bill', '50% off SALE!!!',
    'iPhone 15 Pro (2023)', "a child's drawing of a house", "the artists' studio", 'rock-climbing', 'photo by @someone #sunset', 'size: 10x12 cm', 'mother-of-pearl', 'UPPER lower MiXeD', 'end.', 'A.I. and U.S.A.', 'e.g. this, i.e. that',
]

# Where the same text is meant for both manners: ftfy must not guess at the encoding of any (make.py checks).
TEXTS = [t if isinstance(t, bytes) else t.encode('utf-8')
         for t in PLAIN + LATIN + SCRIPTS + WIDE + EMOJI + SPACES + CONTROLS + QUOTES + ENTITIES + SPECIAL + INVALID + LONG + PROSE]
