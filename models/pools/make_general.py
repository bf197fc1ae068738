#!/usr/bin/env python3
"""Writes the general text pool: one description of image content a line.

    python3 models/pools/make_general.py > models/pools/general.txt

The pool is what TextSpan chooses from, so it must hold words for whatever a head may have learnt: every list below is
one kind of content, and every kind has sentences of its own. Each pair of a sentence and a word is written once. Where
a sentence takes two words, the second list is walked with a stride, so that each word meets several partners and none
meets all. Nothing is random: the same script gives the same file.
"""

COLOURS = [
    'red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'brown', 'black', 'white', 'grey', 'turquoise',
    'beige', 'golden', 'silver', 'maroon', 'navy blue', 'olive green', 'lavender', 'cream', 'crimson', 'teal',
    'mustard yellow', 'copper'
]

SHAPES = [
    'circle', 'square', 'triangle', 'rectangle', 'oval', 'star', 'heart', 'spiral', 'cross', 'diamond', 'hexagon',
    'crescent', 'ring', 'cube', 'sphere', 'pyramid', 'cylinder', 'cone', 'arch', 'zigzag', 'wave', 'grid', 'arrow',
    'pentagon', 'octagon'
]

TEXTURES = [
    'smooth', 'rough', 'bumpy', 'fuzzy', 'shiny', 'glossy', 'matte', 'wrinkled', 'cracked', 'grainy', 'woven',
    'knitted', 'furry', 'feathery', 'scaly', 'spiky', 'rusty', 'polished', 'slimy', 'sandy', 'frosted', 'peeling',
    'quilted', 'velvety', 'ribbed', 'perforated', 'porous', 'dusty', 'sticky', 'worn'
]

PATTERNS = [
    'stripes', 'polka dots', 'checks', 'a tartan weave', 'a floral print', 'a leopard print', 'zebra stripes',
    'a herringbone weave', 'paisley swirls', 'concentric rings', 'a honeycomb of cells', 'marbled veins',
    'a mosaic of small tiles', 'diagonal lines', 'scattered dots', 'a lattice of bars', 'repeating diamonds',
    'brickwork', 'camouflage patches', 'chevrons', 'fine cracks', 'interlocking curves', 'pinstripes',
    'splashes of paint'
]

MATERIALS = [
    'wood', 'glass', 'steel', 'stone', 'marble', 'plastic', 'paper', 'cardboard', 'leather', 'cotton', 'wool', 'silk',
    'denim', 'clay', 'concrete', 'brick', 'bronze', 'copper', 'rubber', 'wax', 'ice', 'bamboo', 'straw', 'wicker',
    'porcelain', 'felt', 'lace', 'aluminium foil', 'chalk', 'ivory', 'rope', 'velvet'
]

COUNTS = [
    'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'a dozen', 'several', 'many',
    'hundreds of'
]

COUNTED = [
    'apples', 'birds', 'boats', 'bottles', 'candles', 'chairs', 'children', 'coins', 'cups', 'dogs', 'flowers',
    'houses', 'keys', 'people', 'pencils', 'stones', 'trees', 'windows', 'balloons', 'books', 'horses', 'lamps',
    'shoes', 'eggs'
]

ANIMALS = [
    'cat', 'dog', 'horse', 'cow', 'sheep', 'goat', 'pig', 'rabbit', 'squirrel', 'fox', 'wolf', 'bear', 'polar bear',
    'panda', 'lion', 'tiger', 'leopard', 'elephant', 'giraffe', 'zebra', 'rhinoceros', 'hippopotamus', 'monkey',
    'gorilla', 'kangaroo', 'koala', 'deer', 'moose', 'camel', 'llama', 'hedgehog', 'mouse', 'bat', 'otter', 'beaver',
    'seal', 'whale', 'dolphin', 'shark', 'goldfish', 'octopus', 'jellyfish', 'crab', 'lobster', 'sea turtle',
    'tortoise', 'crocodile', 'lizard', 'snake', 'frog', 'owl', 'eagle', 'parrot', 'penguin', 'flamingo', 'peacock',
    'swan', 'duck', 'hen', 'rooster', 'pigeon', 'seagull', 'hummingbird', 'woodpecker', 'butterfly', 'bee',
    'ladybird', 'dragonfly', 'spider', 'ant', 'snail', 'beetle', 'starfish', 'donkey', 'raccoon', 'badger'
]

ANIMAL_ACTS = [
    'asleep', 'running', 'drinking water', 'looking at the camera', 'with its young', 'behind a fence', 'in the rain',
    'at night', 'in tall grass', 'in the snow', 'on a rock', 'seen from behind', 'in a zoo', 'in the wild',
    'with its mouth open', 'in mid-leap'
]

FOODS = [
    'bread', 'pizza', 'soup', 'salad', 'pasta', 'rice', 'sushi', 'noodles', 'curry', 'tacos', 'dumplings', 'pancakes',
    'waffles', 'cake', 'pie', 'ice cream', 'chocolate', 'biscuits', 'doughnuts', 'cheese', 'eggs', 'bacon', 'steak',
    'roast chicken', 'grilled fish', 'shrimp', 'oysters', 'a hamburger', 'a sandwich', 'french fries', 'popcorn',
    'cereal', 'yoghurt', 'honey', 'jam', 'nuts', 'olives', 'mushrooms', 'tomatoes', 'carrots', 'potatoes', 'onions',
    'peppers', 'pumpkins', 'corn on the cob', 'apples', 'bananas', 'oranges', 'lemons', 'strawberries', 'cherries',
    'grapes', 'a watermelon', 'a pineapple', 'peaches', 'pears', 'avocados', 'figs'
]

FOOD_PLACES = [
    'on a white plate', 'in a wooden bowl', 'at a street stall', 'on a picnic blanket', 'in a lunch box',
    'on a market table', 'fresh from the oven', 'on a silver tray', 'in a frying pan', 'wrapped in paper',
    'on a kitchen counter', 'being sliced with a knife'
]

DRINKS = [
    'coffee', 'tea', 'milk', 'orange juice', 'red wine', 'beer', 'lemonade', 'hot chocolate', 'sparkling water',
    'a cocktail', 'whisky', 'champagne', 'a smoothie', 'iced tea'
]

PLANTS = [
    'oak tree', 'pine tree', 'palm tree', 'birch tree', 'willow', 'cherry tree in blossom', 'cactus', 'fern', 'rose',
    'tulip', 'sunflower', 'daisy', 'orchid', 'lily', 'lavender bush', 'poppy', 'dandelion', 'water lily',
    'ivy-covered trunk', 'moss-covered log', 'bamboo thicket', 'potted plant', 'bonsai tree', 'vineyard row',
    'wheat stalk', 'mushroom', 'thistle', 'maple leaf', 'clover', 'hedge', 'seedling', 'dead tree'
]

VEHICLES = [
    'car', 'bus', 'lorry', 'taxi', 'motorcycle', 'scooter', 'bicycle', 'tram', 'steam train', 'high-speed train',
    'subway car', 'fire engine', 'ambulance', 'police car', 'tractor', 'bulldozer', 'crane', 'van', 'caravan',
    'racing car', 'convertible', 'sailing boat', 'fishing boat', 'ferry', 'cruise ship', 'cargo ship', 'canoe',
    'kayak', 'submarine', 'aeroplane', 'helicopter', 'hot-air balloon', 'glider', 'rocket', 'cable car',
    'horse-drawn carriage', 'rickshaw', 'skateboard', 'sledge', 'forklift'
]

VEHICLE_STATES = [
    'parked by the road', 'at full speed', 'seen from the side', 'seen from above', 'covered in mud', 'at sunset',
    'abandoned and rusting', 'with its lights on', 'in a museum', 'being repaired'
]

CLOTHES = [
    'hat', 'straw hat', 'baseball cap', 'woollen scarf', 'raincoat', 'winter coat', 'leather jacket', 'suit and tie',
    'wedding dress', 'evening gown', 'summer dress', 'T-shirt', 'striped shirt', 'hooded sweatshirt',
    'knitted jumper', 'pair of jeans', 'skirt', 'kimono', 'sari', 'kilt', 'uniform', 'apron', 'swimsuit',
    'pair of boots', 'pair of trainers', 'pair of high heels', 'pair of gloves', 'pair of sunglasses',
    'pair of glasses', 'necklace', 'wristwatch', 'backpack', 'handbag', 'helmet', 'mask', 'crown', 'veil', 'bow tie',
    'poncho', 'turban'
]

WEARERS = ['man', 'woman', 'child', 'teenager', 'dancer', 'shop-window dummy']

BUILDINGS = [
    'house', 'cottage', 'skyscraper', 'block of flats', 'castle', 'palace', 'church', 'cathedral', 'mosque', 'temple',
    'synagogue', 'pagoda', 'barn', 'windmill', 'lighthouse', 'factory', 'warehouse', 'petrol station', 'school',
    'hospital', 'library', 'museum', 'theatre', 'stadium', 'railway station', 'airport terminal', 'bridge', 'tower',
    'fortress', 'greenhouse', 'log cabin', 'tent', 'igloo', 'ruin', 'hotel', 'shop', 'garage', 'water tower', 'dam',
    'monument'
]

BUILDING_STATES = [
    'under construction', 'reflected in water', 'lit up at night', 'seen from below', 'overgrown with ivy',
    'with many windows', 'with a red roof', 'in the mist', 'in ruins', 'seen from the air'
]

ROOMS = [
    'kitchen', 'bedroom', 'bathroom', 'living room', 'dining room', 'office', 'classroom', 'laboratory', 'workshop',
    'hallway', 'staircase', 'attic', 'cellar', 'hospital ward', 'hotel lobby', 'restaurant', 'bar',
    'supermarket aisle', 'gym', 'library reading room', 'waiting room', 'concert hall', 'nursery', 'laundry room',
    'balcony', 'lift', 'locker room', 'art studio', 'prison cell', 'server room'
]

ROOM_STATES = [
    'empty', 'crowded', 'cluttered', 'tidy', 'dimly lit', 'brightly lit', 'old-fashioned', 'modern', 'half-finished',
    'abandoned'
]

LANDSCAPES = [
    'beach', 'desert', 'forest', 'rainforest', 'mountain range', 'snowy peak', 'glacier', 'volcano', 'canyon', 'cave',
    'cliff', 'waterfall', 'river', 'lake', 'swamp', 'meadow', 'savannah', 'prairie', 'coral reef', 'open ocean',
    'rocky coast', 'island', 'sand dune', 'rice terrace', 'vineyard', 'orchard', 'farm field', 'country road',
    'harbour', 'city park', 'city street', 'narrow alley', 'market square', 'motorway', 'car park', 'railway line',
    'playground', 'cemetery', 'botanical garden', 'construction site', 'rubbish dump', 'quarry', 'frozen pond',
    'tundra', 'hot spring', 'salt flat', 'hill', 'valley', 'lagoon', 'suburb'
]

TIMES = [
    'at dawn', 'in the early morning', 'at noon', 'in the late afternoon', 'at sunset', 'at dusk', 'at night',
    'under a full moon', 'at the blue hour', 'in bright daylight'
]
SEASONS = ['in spring', 'in summer', 'in autumn', 'in winter']
WEATHER = [
    'in heavy rain', 'in thick fog', 'during a thunderstorm', 'under a clear blue sky', 'under dark clouds',
    'in a snowstorm', 'in strong wind', 'under a rainbow', 'in a light drizzle', 'in hazy sunshine',
    'covered in frost', 'after the rain'
]

COUNTRIES = [
    'Argentina', 'Australia', 'Austria', 'Bangladesh', 'Belgium', 'Bolivia', 'Brazil', 'Bulgaria', 'Cambodia',
    'Canada', 'Chile', 'China', 'Colombia', 'Croatia', 'Cuba', 'the Czech Republic', 'Denmark', 'Ecuador', 'Egypt',
    'Estonia', 'Ethiopia', 'Finland', 'France', 'Georgia', 'Germany', 'Ghana', 'Greece', 'Greenland', 'Guatemala',
    'Hungary', 'Iceland', 'India', 'Indonesia', 'Iran', 'Iraq', 'Ireland', 'Israel', 'Italy', 'Jamaica', 'Japan',
    'Jordan', 'Kazakhstan', 'Kenya', 'Lebanon', 'Madagascar', 'Malaysia', 'Mali', 'Malta', 'Mexico', 'Mongolia',
    'Morocco', 'Myanmar', 'Namibia', 'Nepal', 'the Netherlands', 'New Zealand', 'Nigeria', 'Norway', 'Pakistan',
    'Panama', 'Peru', 'the Philippines', 'Poland', 'Portugal', 'Romania', 'Russia', 'Rwanda', 'Saudi Arabia',
    'Scotland', 'Senegal', 'Serbia', 'Singapore', 'Slovenia', 'South Africa', 'South Korea', 'Spain', 'Sri Lanka',
    'Sweden', 'Switzerland', 'Syria', 'Tanzania', 'Thailand', 'Tunisia', 'Turkey', 'Uganda', 'Ukraine',
    'the United Kingdom', 'the United States', 'Uruguay', 'Uzbekistan', 'Venezuela', 'Vietnam', 'Wales', 'Zimbabwe'
]

CITIES = [
    'Amsterdam', 'Athens', 'Bangkok', 'Barcelona', 'Beijing', 'Berlin', 'Bogotá', 'Boston', 'Brussels', 'Budapest',
    'Buenos Aires', 'Cairo', 'Cape Town', 'Chicago', 'Copenhagen', 'Delhi', 'Dubai', 'Dublin', 'Edinburgh',
    'Florence', 'Hanoi', 'Havana', 'Helsinki', 'Hong Kong', 'Istanbul', 'Jakarta', 'Jerusalem', 'Johannesburg',
    'Kathmandu', 'Kyiv', 'Kyoto', 'Lagos', 'Lima', 'Lisbon', 'London', 'Los Angeles', 'Madrid', 'Manila', 'Marrakesh',
    'Melbourne', 'Mexico City', 'Montreal', 'Moscow', 'Mumbai', 'Munich', 'Nairobi', 'Naples', 'New Orleans',
    'New York', 'Oslo', 'Paris', 'Prague', 'Reykjavik', 'Rio de Janeiro', 'Rome', 'San Francisco', 'Santiago',
    'Seoul', 'Seville', 'Shanghai', 'Stockholm', 'Sydney', 'Tokyo', 'Toronto', 'Vancouver', 'Venice', 'Vienna',
    'Warsaw', 'Washington', 'Zurich'
]

REGIONS = [
    'the Alps', 'the Andes', 'the Himalayas', 'the Sahara', 'the Amazon', 'the Arctic', 'Antarctica',
    'the Mediterranean coast', 'the Caribbean', 'Scandinavia', 'the Scottish Highlands', 'Patagonia', 'Siberia',
    'the Australian outback', 'Tuscany', 'Bavaria', 'Provence', 'Hawaii', 'California', 'Texas', 'Alaska',
    'the Rocky Mountains', 'the Middle East', 'Central Asia', 'Polynesia', 'West Africa', 'the Black Forest',
    'the Nile valley', 'the Great Plains', 'Tibet'
]

JOBS = [
    'doctor', 'nurse', 'teacher', 'farmer', 'fisherman', 'baker', 'butcher', 'chef', 'waiter', 'barber', 'tailor',
    'carpenter', 'plumber', 'electrician', 'builder', 'mechanic', 'firefighter', 'police officer', 'soldier', 'judge',
    'scientist', 'astronaut', 'pilot', 'sailor', 'bus driver', 'postman', 'gardener', 'painter', 'sculptor',
    'photographer', 'musician', 'violinist', 'drummer', 'pianist', 'singer', 'ballet dancer', 'actor', 'clown',
    'magician', 'journalist', 'librarian', 'priest', 'monk', 'athlete', 'boxer', 'football player', 'tennis player',
    'swimmer', 'cyclist', 'climber', 'surfer', 'jockey', 'beekeeper', 'blacksmith', 'potter', 'watchmaker', 'miner',
    'welder', 'diver', 'lifeguard', 'shepherd', 'vet', 'dentist', 'cleaner', 'cashier', 'street vendor'
]

PEOPLE = [
    'man', 'woman', 'boy', 'girl', 'baby', 'toddler', 'teenager', 'elderly man', 'elderly woman', 'bearded man',
    'bald man', 'woman with long hair', 'woman with curly hair', 'man with a moustache', 'girl with braids',
    'person in a wheelchair', 'family', 'young couple', 'pair of twins', 'group of friends', 'crowd', 'school class',
    'team of workers', 'grandmother', 'bride', 'red-haired person'
]

ACTIONS = [
    'running', 'walking', 'jumping', 'climbing', 'swimming', 'diving', 'dancing', 'singing', 'laughing', 'crying',
    'sleeping', 'reading', 'writing', 'drawing', 'painting', 'cooking', 'eating', 'drinking', 'shopping', 'driving',
    'cycling', 'skiing', 'skating', 'surfing', 'fishing', 'digging', 'sweeping', 'washing dishes', 'sewing',
    'knitting', 'typing', 'talking on the telephone', 'taking a photograph', 'waving', 'pointing', 'hugging',
    'kissing', 'shaking hands', 'fighting', 'praying', 'meditating', 'stretching', 'lifting weights',
    'throwing a ball', 'catching a ball', 'kicking a ball', 'playing chess', 'playing cards', 'playing the guitar',
    'playing the piano', 'blowing bubbles', 'flying a kite', 'building a sandcastle', 'carrying a heavy bag',
    'pushing a pram', 'opening a door', 'looking through a window', 'lighting a candle', 'planting a tree',
    'feeding birds', 'riding a horse', 'rowing a boat', 'brushing teeth', 'cutting hair', 'yawning', 'whispering',
    'applauding', 'queuing', 'protesting', 'marching'
]

EMOTIONS = [
    'happiness', 'sadness', 'anger', 'fear', 'surprise', 'disgust', 'boredom', 'excitement', 'calm', 'loneliness',
    'love', 'jealousy', 'pride', 'shame', 'curiosity', 'confusion', 'hope', 'grief', 'relief', 'tenderness',
    'tension', 'nostalgia', 'mystery', 'danger', 'triumph', 'chaos', 'peace', 'luxury', 'poverty', 'freedom',
    'playfulness', 'melancholy', 'energy', 'silence', 'solemnity', 'wonder'
]

EVENTS = [
    'birthday party', 'wedding', 'funeral', 'graduation ceremony', 'football match', 'tennis match', 'boxing match',
    'horse race', 'marathon', 'cycling race', 'rock concert', 'orchestra rehearsal', 'opera performance',
    'school play', 'carnival parade', 'fireworks display', 'street festival', "farmers' market", 'flea market',
    'art exhibition', 'fashion show', 'press conference', 'political rally', 'business meeting', 'lecture',
    'science fair', 'picnic', 'barbecue', 'camping trip', 'treasure hunt', 'car accident', 'house fire', 'flood',
    'earthquake', 'harvest', 'military parade', 'religious procession', 'Christmas dinner', 'Halloween party',
    'New Year celebration', 'tea ceremony', 'baptism', 'auction', 'chess tournament', 'rodeo', 'regatta', 'air show',
    'job interview'
]

OBJECTS = [
    'chair', 'table', 'sofa', 'bed', 'lamp', 'mirror', 'clock', 'bookshelf', 'carpet', 'curtain', 'pillow', 'vase',
    'candle', 'bottle', 'cup', 'plate', 'fork', 'kettle', 'frying pan', 'basket', 'bucket', 'broom', 'ladder',
    'hammer', 'screwdriver', 'saw', 'key', 'padlock', 'umbrella', 'suitcase', 'wallet', 'coin', 'envelope',
    'postage stamp', 'book', 'newspaper', 'map', 'globe', 'pencil', 'paintbrush', 'pair of scissors', 'stapler',
    'calculator', 'computer', 'keyboard', 'laptop', 'mobile phone', 'telephone box', 'camera', 'television', 'radio',
    'loudspeaker', 'pair of headphones', 'light bulb', 'battery', 'wind turbine', 'solar panel', 'telescope',
    'microscope', 'thermometer', 'syringe', 'stethoscope', 'guitar', 'violin', 'piano', 'trumpet', 'drum', 'flute',
    'football', 'tennis racket', 'chessboard', 'pair of dice', 'playing card', 'teddy bear', 'doll', 'toy car',
    'kite', 'balloon', 'puppet', 'mask', 'statue', 'fountain', 'bench', 'street lamp', 'traffic light', 'road sign',
    'mailbox', 'dustbin', 'fence', 'gate', 'flag', 'tent', 'campfire', 'anchor', 'compass', 'hourglass', 'sword',
    'shield', 'crown', 'gift box', 'bell', 'chandelier', 'typewriter', 'sewing machine', 'washing machine',
    'refrigerator', 'bathtub', 'toothbrush', 'bar of soap', 'towel', 'comb', 'bar of gold', 'gemstone', 'skull',
    'feather', 'seashell', 'bird nest', 'spider web', 'rope', 'chain', 'barrel', 'crate'
]

STYLES = [
    'an oil painting', 'a watercolour', 'a pencil sketch', 'a charcoal drawing', 'an ink drawing', 'a pastel drawing',
    'a woodcut print', 'an etching', 'a fresco', 'a stained-glass window', 'a mosaic', 'a tapestry', 'a collage',
    'a graffiti mural', 'a comic strip', 'a cartoon', "a picture-book illustration", 'a technical drawing',
    'an architectural plan', 'a scientific diagram', 'a computer rendering', 'pixel art', 'a low-polygon model',
    'an origami figure', 'a clay model', 'a wooden carving', 'a marble sculpture', 'a bronze statue', 'an embroidery',
    'a paper cut-out', 'a sand drawing', 'a chalk drawing on a pavement', 'a tattoo', 'a poster', 'a postcard',
    'a postage stamp', 'a screenshot of a video game', 'an album cover', 'a logo', 'a map', 'a silhouette',
    'a calligraphy scroll', 'a cave painting', 'an impressionist landscape', 'a cubist portrait',
    'an abstract composition', 'a surrealist scene', 'a minimalist design', 'a pop-art print', 'a baroque interior',
    'a medieval manuscript page'
]

PHOTO = [
    'a black-and-white photograph', 'a sepia photograph', 'a blurry photograph', 'an overexposed photograph',
    'an underexposed photograph', 'a high-contrast photograph', 'a photograph in soft light',
    'a photograph against the light', 'a photograph with a shallow depth of field', 'a long-exposure photograph',
    'a wide-angle photograph', 'a fish-eye photograph', 'a telephoto shot', 'a macro photograph',
    'an aerial photograph', 'a satellite image', 'an underwater photograph', 'an infrared photograph',
    'an X-ray image', 'a microscope image', 'a night-vision image', 'a double exposure', 'a panoramic photograph',
    'a polaroid picture', 'a grainy film photograph', 'a studio photograph', 'a selfie', 'a passport photograph',
    'a group portrait', 'a candid photograph', 'a still from a film', 'a security-camera image',
    'a motion-blurred photograph', 'a low-resolution image', 'a picture with heavy compression',
    'a picture with a watermark', 'a picture with a white border', 'a picture with a plain white background',
    'a picture with a black background', 'a tilted photograph', 'a photograph with lens flare',
    'a photograph with a vignette', 'a symmetrical composition', 'a picture with a lot of empty space'
]

PHOTO_OF = ['a face', 'a tree', 'a street', 'a dog', 'a building', 'a flower', 'a boat', 'a mountain']

VIEWS = [
    'from above', 'from below', 'from the side', 'from behind', 'from far away', 'from very close',
    'through a window', 'through a fence', 'in a mirror', 'through fog'
]
POSITIONS = [
    'in the corner of the picture', 'in the centre of the picture', 'at the left edge', 'at the right edge',
    'at the top of the picture', 'at the bottom of the picture', 'in the foreground', 'in the background',
    'partly hidden', 'cut off by the frame', 'upside down', 'in shadow', 'in a spotlight', 'out of focus',
    'reflected in a puddle'
]

VIEWED = [
    'a person', 'an animal', 'a car', 'a house', 'a sign', 'a bright object', 'a small object', 'a round object'
]

LETTERS = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'K', 'L', 'M', 'N', 'O', 'P', 'R', 'S', 'T', 'W', 'X', 'Z']
DIGITS = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '12', '25', '50', '100', '1984', '2000']
WRITTEN = [
    'STOP', 'OPEN', 'CLOSED', 'SALE', 'EXIT', 'HELLO', 'LOVE', 'NO PARKING', 'DANGER', 'WELCOME', 'HOTEL', 'TAXI',
    'CAFÉ', 'POLICE', 'FOR RENT', 'HAPPY BIRTHDAY', 'THANK YOU', 'PUSH', 'PULL', 'FREE'
]
WRITING = [
    'handwriting', 'Chinese characters', 'Japanese characters', 'Arabic script', 'Cyrillic letters', 'Greek letters',
    'Hebrew letters', 'Korean letters', 'Devanagari script', 'Thai script', 'Roman numerals', 'musical notation',
    'a mathematical formula', 'a barcode', 'a price tag', 'a licence plate', 'a newspaper headline', 'a shop sign',
    'a neon sign', 'a chalkboard menu', 'a book page', 'a handwritten letter', 'a street name', 'a speech bubble',
    'a movie title', 'a web page', 'a spreadsheet', 'computer code', 'a crossword puzzle', 'graffiti letters'
]

LIGHTS = [
    'candlelight', 'moonlight', 'neon light', 'harsh sunlight', 'soft window light', 'firelight', 'stage lights',
    'street lamps', 'fluorescent tubes', 'a single torch', 'coloured lights', 'dappled shade', 'backlight',
    'lightning', 'fairy lights', 'flickering screens'
]

SIZES = [
    'tiny', 'small', 'medium-sized', 'large', 'huge', 'long and thin', 'short and wide', 'tall', 'flat', 'very heavy'
]
STATES = [
    'broken', 'brand-new', 'antique', 'wet', 'frozen', 'floating', 'hanging', 'stacked', 'upside-down', 'forgotten',
    'dirty', 'transparent', 'folded', 'torn', 'painted', 'wrapped'
]
BODY = [
    'hand', 'foot', 'eye', 'ear', 'nose', 'mouth', 'smile', 'tooth', 'beard', 'head of curly hair',
    'the back of a head', 'pointing finger', 'fist', 'open palm', 'bare shoulder', 'tattooed arm', 'footprint',
    'wrinkled face', 'freckled face', 'painted face', 'profile of a face'
]
ROLES = [
    'with a worried look', 'smiling broadly', 'deep in thought', 'covered in paint', 'holding a baby',
    'holding an umbrella', 'sitting on the floor', 'standing in a doorway', 'seen from behind',
    'against a plain wall', 'in the rain', 'in a crowd'
]
FIELDS = [
    'astronomy', 'chemistry', 'medicine', 'archaeology', 'geology', 'agriculture', 'architecture', 'engineering',
    'aviation', 'seafaring', 'mining', 'weaving', 'cookery', 'music', 'theatre', 'cinema', 'sport', 'fashion',
    'religion', 'war', 'trade', 'law', 'education', 'tourism', 'mythology', 'childhood', 'old age', 'recycling',
    'electronics', 'robotics', 'space travel', 'the Middle Ages', 'ancient Egypt', 'ancient Rome',
    'the nineteenth century', 'the 1950s', 'the 1980s', 'the distant future', 'prehistory', 'fairy tales'
]


# ---- how words become sentences ---------------------------------------------------------------------------

UNCOUNTED = {'pixel art'}
LETTER_AN = tuple('AEFHLMNORSX')  # letters whose names begin with a vowel


def an(words):
    """The words with their article."""
    if words in UNCOUNTED or words.split(' ')[0] in ('a', 'an', 'the'):
        return words
    first = words.split(' ')[0].lower()
    vowel = first[0] in 'aeiou' and not first.startswith(('uni', 'one-', 'eu', 'uku'))
    return ('an ' if vowel or first.startswith(('hour', 'heir')) else 'a ') + words


def each(sentence, words, form=an):
    return [sentence.format(form(word)) for word in words]


def plain(words):
    return words


def pairs(sentence, first, second, times, form=an, other=plain):
    """Each word of the first list with `times` of the second, the start moving on from word to word."""
    out, step = [], max(1, len(second) // times)
    for i, word in enumerate(first):
        for k in range(times):
            out.append(sentence.format(form(word), other(second[(i * 3 + k * step) % len(second)])))
    return out


SINGULAR = {'children': 'child', 'people': 'person'}


def counted(count, things):
    return 'one ' + SINGULAR.get(things, things[:-1]) if count == 'one' else count + ' ' + things


def colours():
    out = each('A mostly {} picture', COLOURS, plain) + each('The colour {}', COLOURS, plain)
    out += each('An image with {} as its main colour', COLOURS, plain)
    out += pairs('{} wall next to {} door', COLOURS, COLOURS[5:] + COLOURS[:5], 2, other=an)
    out += (pairs('A photo of {} {}', COLOURS, ['car', 'dress', 'bird', 'flower', 'house', 'chair', 'balloon',
            'bicycle', 'umbrella', 'shirt', 'cup', 'boat'], 6))
    return (out + ['A picture in pastel colours', 'A picture in neon colours', 'A picture in earthy tones',
            'Muted, faded colours', 'Bright, saturated colours', 'All the colours of the rainbow',
            'A picture in shades of one colour', 'Strong contrast between warm and cold colours',
            'A gradient from dark to light'])


def shapes():
    out = (each('A picture with {} in the middle', SHAPES) + each('An object shaped like {}', SHAPES) +
            each('{} drawn on paper', SHAPES))
    out += (pairs('{} made of {}', SHAPES, MATERIALS, 3) + pairs('{} of {} objects', ['Circle', 'Row', 'Pile', 'Ring',
            'Pyramid', 'Grid'], ['round', 'square', 'identical', 'pointed', 'small', 'shiny'], 3))
    return (out + ['Sharp corners and straight edges', 'Soft, rounded forms', 'Long parallel lines',
            'Lines that meet at one point', 'Curved lines', 'Many overlapping circles', 'Thin vertical lines',
            'A horizontal line across the picture', 'A symmetrical shape', 'An irregular, jagged outline'])


def textures():
    out = (each('{} surface', TEXTURES) + each('A close-up of {} material', TEXTURES) +
            each('An image with {}', PATTERNS, plain) + each('A fabric with {}', PATTERNS, plain))
    out += (each('A surface covered with {}', PATTERNS, plain) + each('Something made of {}', MATERIALS, plain) +
            each('A close-up of {}', MATERIALS, plain) + pairs('{} object made of {}', TEXTURES, MATERIALS, 3))
    return out


def numbers():
    out = []
    for i, things in enumerate(COUNTED):
        for k, count in enumerate(COUNTS):
            if (i + k) % 2 == 0:
                there = 'There is ' if count == 'one' else 'There are '
                out.append(('A photo of ', 'An image of ', there)[(i + k // 2) % 3] + counted(count, things))
    return (out + ['A single object on an empty background', 'Two similar objects side by side',
            'Three objects in a row', 'A large number of identical objects', 'An odd one out among many',
            'A pair of matching objects', 'Too many things to count', 'Nothing but an empty surface',
            'A crowd of hundreds', 'Objects arranged in two rows of four'])


def animals():
    out = (each('A photo of {}', ANIMALS) + each('A close-up of the head of {}', ANIMALS) + pairs('{} {}', ANIMALS,
            ANIMAL_ACTS, 3))
    return (out + ['A herd of grazing animals', 'A flock of birds in the sky', 'A shoal of fish',
            'A swarm of insects', 'Animal tracks in the snow', 'A pet on a sofa', 'A stuffed animal in a museum',
            'A bird in a cage', 'A dog on a lead', 'A cat on a windowsill', 'A horse with a rider',
            'An animal in a costume', 'A newborn animal', 'A predator with its prey', 'Paws and claws',
            'Feathers in close-up', 'Striped fur', 'Spotted fur', 'A long tail', 'A pair of antlers'])


def foods():
    return (each('A photo of {}', FOODS, plain) + pairs('{} {}', FOODS, FOOD_PLACES, 3, form=plain) +
            each('A glass or cup of {}', [d for d in DRINKS if not d.startswith('a ')], plain) +
            each('Someone pouring {}', DRINKS, plain) + ['A table set for dinner', 'A half-eaten meal',
            'Leftovers in a container', 'A birthday cake with candles', 'Fruit on a tree', 'Vegetables in a garden',
            'A shelf of jars', 'Rotten fruit', 'A steaming pot'])


def plants():
    return (each('A photo of {}', PLANTS) + each('{} in a garden', PLANTS) + pairs('{} {}', PLANTS, SEASONS + WEATHER,
            2) + ['A bunch of flowers', 'Fallen leaves on the ground', 'Roots of an old tree', 'A tangle of branches',
            'A single green leaf', 'Bark in close-up', 'A field of wild flowers', 'Seeds in a hand',
            'Thorns on a stem', 'A flower bud about to open'])


def vehicles():
    return (each('A photo of {}', VEHICLES) + pairs('{} {}', VEHICLES, VEHICLE_STATES, 4) + ['A traffic jam',
            'An empty road', 'Wheels in close-up', 'The inside of a car', 'The cockpit of an aeroplane',
            'A dashboard with dials', 'A row of parked bicycles', 'Tyre tracks in the mud',
            'A train crossing a bridge', 'Boats in a harbour'])


def clothes():
    return (each('A photo of {}', CLOTHES) + pairs('{} wearing {}', WEARERS, CLOTHES, 16, other=an) +
            each('{} hanging on a hook', CLOTHES[:20]) + ['Clothes on a washing line', 'A rack of clothes in a shop',
            'A heap of laundry', 'Buttons on a shirt', 'Shoes by the door', 'Jewellery on black velvet',
            'Traditional dress', 'Sportswear', 'A costume from the theatre'])


def buildings():
    return (each('A photo of {}', BUILDINGS) + pairs('{} {}', BUILDINGS, BUILDING_STATES, 3) +
            each('The inside of {}', ROOMS) + ['%s %s' % (an(ROOM_STATES[(i * 3 + k) % 10]), room) for i, room in
            enumerate(ROOMS) for k in (0, 4)] + ['A row of houses', 'A skyline', 'A spiral staircase',
            'A row of columns', 'A dome', 'A wooden door', 'An iron gate', 'A broken window', 'A tiled roof',
            'A chimney with smoke', 'A brick wall', 'Scaffolding', 'A long corridor', 'A stone arch',
            'A cobbled courtyard'])


def places():
    out = (each('A photo of {}', LANDSCAPES) + pairs('{} {}', LANDSCAPES, TIMES, 2) + pairs('{} {}', LANDSCAPES,
            SEASONS + WEATHER, 3) + each('People at {}', LANDSCAPES[:20]))
    return (out + ['The horizon', 'A cloudy sky', 'A starry sky', 'The Milky Way', 'A path leading into the distance',
            'A reflection in still water', 'Waves breaking on a shore', 'A view into a valley',
            'A place without people', 'A border between land and water', 'A view from space'])


def geography():
    out = (each('A photo taken in {}', COUNTRIES, plain) + each('A landscape in {}', COUNTRIES[::2], plain) +
            each('A village in {}', COUNTRIES[1::2], plain) + each('A street in {}', CITIES, plain) +
            each('The skyline of {}', CITIES[::2], plain) + each('An old photo of {}', CITIES[1::2], plain) +
            each('A picture of {}', REGIONS, plain) + each('Food from {}', COUNTRIES[::3], plain) +
            each('People in {}', COUNTRIES[1::3], plain))
    return (out + ['The flag of a country', 'A tropical place', 'A place in the far north', 'A European old town',
            'An Asian night market', 'An African savannah', 'A Latin American plaza', 'An American suburb',
            'A famous landmark', 'A map of the world'])


def people():
    out = (each('A portrait of {}', PEOPLE) + pairs('{} {}', PEOPLE, ROLES, 3) + each('A photo of {} at work', JOBS) +
            each('{} posing for the camera', JOBS[::2]) + each('A close-up of {}', BODY) + each('Someone {}', ACTIONS,
            plain) + pairs('{} {}', PEOPLE[:9], ACTIONS, 8) + each('People {} together', ACTIONS[:30:2], plain))
    return (out + ['A face without expression', 'Two people looking at each other', 'A person alone in a large space',
            'Many faces', 'A silhouette of a person', 'A masked person', 'Shadows of people',
            'Hands holding something', 'A queue of people', 'A person looking away'])


def moods():
    return (each('A scene of {}', EMOTIONS, plain) + each('A face that shows {}', EMOTIONS[:20], plain) +
            each('An image that conveys {}', EMOTIONS, plain) + each('A photo of {}', EVENTS) +
            each('Guests or spectators at {}', EVENTS[::2]) + each('A picture about {}', FIELDS, plain) +
            each('Tools and things from {}', FIELDS[:26:2], plain))


def things():
    return (each('A photo of {}', OBJECTS) + pairs('{} {}', SIZES, OBJECTS, 9) + pairs('{} {}', STATES, OBJECTS, 9) +
            each('{} on a wooden table', OBJECTS[12:60]) + each('A shop window with {}', OBJECTS[60:90:2]) +
            pairs('{} beside {}', OBJECTS[::3], OBJECTS[1::3], 2, other=an))


def pictures():
    out = ([an(style) for style in STYLES + PHOTO] + pairs('{} of {}', PHOTO, PHOTO_OF, 1) +
            each('A picture in the manner of {}', [s for s in STYLES if s != 'pixel art'], plain) +
            pairs('{} seen {}', VIEWED, VIEWS, 6) + pairs('{} {}', VIEWED, POSITIONS, 7) + each('Something {}',
            POSITIONS, plain))
    return (out + each('A scene lit by {}', LIGHTS, plain) + each('A room lit by {}', LIGHTS, plain) +
            each('A street lit by {}', LIGHTS[:8], plain))


def letters():
    out = ['%s letter %s' % ('A large' if i % 2 else 'The', letter) for i, letter in enumerate(LETTERS)]
    out += (['A word that begins with %s %s' % ('an' if letter in LETTER_AN else 'a', letter) for letter in LETTERS] +
            each('The number {}', DIGITS, plain) + each('The number {} on a door', DIGITS[:10], plain))
    out += (each('A sign that says {}', WRITTEN, plain) + each('The word {} painted on a wall', WRITTEN, plain) +
            each('An image with {}', WRITING, plain))
    return (out + ['A page full of text', 'A short text on a plain background', 'Large white letters',
            'Text in a foreign language', 'An unreadable scribble', 'A caption below a picture',
            'A list with bullet points', 'A picture without any text'])


def seasons():
    where = ['forest', 'village', 'city park', 'garden', 'lake', 'mountain path', 'farm', 'river bank']
    return (pairs('{} {}', where, SEASONS, 4) + pairs('A photo taken {} {}', TIMES, SEASONS, 2, form=plain) +
            pairs('{} {}', ['street', 'house', 'bridge', 'tree', 'person', 'bus stop', 'ship', 'church'], WEATHER, 6)
            + ['Snow on the ground', 'Icicles on a roof', 'Melting snow', 'Blossoms on a branch',
            'A sunny summer day', 'Golden autumn leaves', 'Rain on a window', 'A bolt of lightning', 'Morning dew',
            'Footprints in fresh snow', 'A heat haze above a road', 'Dry, cracked earth'])


KINDS = (colours, shapes, textures, numbers, animals, foods, plants, vehicles, clothes, buildings, places, geography,
         people, moods, things, pictures, letters, seasons)


def main():
    seen = set()
    for kind in KINDS:
        for line in kind():
            line = line[0].upper() + line[1:]
            if line.lower() not in seen:
                seen.add(line.lower())
                print(line)


if __name__ == '__main__':
    main()
