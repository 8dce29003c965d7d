// Runs one function over many rows inside V8: builds its arguments from typed arrays, and writes its results into such.
//
// The expression of this file is a function of the context's own globals, called before any of the user's code runs: what
// it needs of them is kept, so that nothing the user's code changes can change the driver.
(() => {
  "use strict";
  const { Array, ArrayBuffer, Date, Error, Float64Array, Function, Int32Array, JSON, Number, Object, Reflect, Set, String,
    TypeError, Uint8Array } = globalThis;
  const { isArray } = Array;
  const isView = ArrayBuffer.isView;
  const { freeze, keys, defineProperty } = Object;
  const apply = Reflect.apply;
  const now = Date.now, { max } = Math, { isFinite } = Number;
  const stringify = JSON.stringify;
  const parse = JSON.parse;
  const getTime = Date.prototype.getTime;
  const setHas = Set.prototype.has, setAdd = Set.prototype.add, setDelete = Set.prototype.delete;
  const dateOf = (value) => { try { return apply(getTime, value, []); } catch { return null; } };
  const arrayConcat = Array.prototype.concat;
  const concat = (path, more) => apply(arrayConcat, path, [more]);
  const set = (array, index, value) => { defineProperty(array, index, { value, writable: true, enumerable: true, configurable: true }); };

  // What is no plain ECMAScript, or may block the thread or take memory that no limit counts.
  for (const name of ["setTimeout", "clearTimeout", "__timer_manager", "WebAssembly", "SharedArrayBuffer", "Atomics", "console"]) {
    globalThis[name] = undefined;
  }

  const SLICE_MS = 100;
  const SLICE_NUMBERS = 2 ** 21, SLICE_CHARACTERS = 2 ** 24;
  const MAX_LOG_CHARACTERS = 65536;
  const NULL = 0, NUMBER = 1, BOOLEAN = 2, STRING = 3, DATE = 4, NUMBERS = 5, OTHER = 6;

  let userFunction = null;
  let logged = [], loggedCharacters = 0;
  const progress = new Int32Array(1);

  globalThis.mldb = freeze({
    log(...values) {
      const text = values.map((value) => (typeof value === "string" ? value : stringify(value) ?? String(value))).join(" ");
      if (loggedCharacters < MAX_LOG_CHARACTERS) logged[logged.length] = text.slice(0, MAX_LOG_CHARACTERS - loggedCharacters);
      loggedCharacters += text.length;
    },
  });

  // -- arguments: a tree of {kind, ...} made in Python, over views of one buffer ---------------------------------------

  const VIEWS = { f8: Float64Array, f4: globalThis.Float32Array, i4: Int32Array, u4: globalThis.Uint32Array, i2: globalThis.Int16Array,
    u2: globalThis.Uint16Array, i1: globalThis.Int8Array, u1: Uint8Array };

  const viewOf = (buffer, [type, offset, length]) => new VIEWS[type](buffer, offset, length);

  const openTree = (node, buffer, texts) => {
    const valid = node.valid ? viewOf(buffer, node.valid) : null;
    if (node.kind === "row") return { ...node, valid, fields: node.fields.map((field) => openTree(field, buffer, texts)) };
    if (node.kind === "list") {
      const offsets = node.offsets ? viewOf(buffer, node.offsets) : null;
      return { ...node, valid, offsets, item: openTree(node.item, buffer, texts), paths: [] };
    }
    if (node.kind === "text") return { ...node, valid, values: texts[node.texts] };
    const made = { ...node, valid, values: viewOf(buffer, node.values) };
    if (node.kind === "bytes") made.offsets = viewOf(buffer, node.offsets);
    return made;
  };

  const scalarAt = (node, index) => {
    if (node.valid !== null && node.valid[index] === 0) return null;
    const value = node.kind === "bytes" ? node.values.slice(node.offsets[index], node.offsets[index + 1]) : node.values[index];
    if (node.kind === "boolean") return value === 1;
    return node.kind === "date" ? new Date(value) : value;
  };

  const rangeOf = (node, index) => (node.offsets ? [node.offsets[index], node.offsets[index + 1]] : [index * node.size, (index + 1) * node.size]);

  // The index of the i-th element of a tensor, axis by axis.
  const indexOf = (i, shape) => {
    const index = new Array(shape.length);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = String(i % shape[axis]);
      i = (i - (i % shape[axis])) / shape[axis];
    }
    return index;
  };

  const pathsOf = (node, count) => {
    const { paths } = node;
    for (let i = paths.length; i < count; i++) set(paths, i, freeze(node.shape ? indexOf(i, node.shape) : [String(i)]));
    return paths;
  };

  // One loop for each argument, so that each sees one kind of typed array.
  const makeNumberCells = () => new Function("view", "start", "end", "paths", "timestamp", `
    const count = end - start, cells = new Array(count);
    for (let i = 0; i < count; i++) cells[i] = [paths[i], view[start + i], timestamp];
    return cells;`);

  const addCells = (node, index, path, timestamp, cells) => {
    const isNull = node.valid !== null && node.valid[index] === 0;
    if (node.kind === "row") {
      node.fields.forEach((field, i) => addCells(field, index, concat(path, node.names[i]), timestamp, cells));
    } else if (node.kind === "list" && !isNull) {
      const [start, end] = rangeOf(node, index);
      const paths = pathsOf(node, end - start);
      for (let i = start; i < end; i++) addCells(node.item, i, concat(path, paths[i - start]), timestamp, cells);
    } else {
      set(cells, cells.length, [freeze(path), isNull || node.kind === "list" ? null : scalarAt(node, index), timestamp]);
    }
    return cells;
  };

  const argumentMaker = (node) => {
    if (node.kind !== "row" && node.kind !== "list") return (index) => scalarAt(node, index);
    const numberCells = makeNumberCells();
    const isNumbers = node.kind === "list" && node.item.kind === "number" && node.item.valid === null;
    return (index) => {
      if (node.valid !== null && node.valid[index] === 0) return null;
      const timestamp = new Date(node.timestamp);
      if (!isNumbers) return addCells(node, index, [], timestamp, []);
      const [start, end] = rangeOf(node, index);
      return numberCells(node.item.values, start, end, pathsOf(node, end - start), timestamp);
    };
  };

  // -- results --------------------------------------------------------------------------------------------------------

  let results = null;

  // What one slice of time makes is handed on before the next, so that no batch is too large.
  const startResults = (count) => {
    results = { kinds: new Uint8Array(count), lengths: new Int32Array(count), numbers: new Float64Array(1024), used: 0, characters: 0,
      texts: [], others: [] };
  };

  const reserve = (count) => {
    if (results.used + count <= results.numbers.length) return;
    const grown = new Float64Array(max(results.numbers.length * 2, results.used + count));
    grown.set(results.numbers);
    results.numbers = grown;
  };

  const addNumber = (row, kind, value) => {
    reserve(1);
    results.kinds[row] = kind;
    results.numbers[results.used++] = value;
    results.lengths[row] = 1;
  };

  // Whether an array holds numbers alone; if so they are written.
  const addNumbers = (row, array) => {
    const count = array.length;
    reserve(count);
    const { numbers, used } = results;
    for (let i = 0; i < count; i++) {
      const value = array[i];
      if (typeof value !== "number") return false;
      numbers[used + i] = value;
    }
    results.kinds[row] = NUMBERS;
    results.lengths[row] = count;
    results.used += count;
    return true;
  };

  const addText = (row, kind, text, list) => {
    results.kinds[row] = kind;
    results.characters += typeof text === "string" ? text.length : 100;
    set(list, list.length, text);
  };

  const addResult = (row, value) => {
    if (value === null || value === undefined) return;
    const type = typeof value;
    if (type === "number") addNumber(row, NUMBER, value);
    else if (type === "boolean") addNumber(row, BOOLEAN, value ? 1 : 0);
    else if (type === "string") addText(row, STRING, value, results.texts);
    else if (type === "bigint") addNumber(row, NUMBER, safeNumber(value));
    else if (type === "object") {
      const time = dateOf(value);
      if (time !== null) { if (time === time) addNumber(row, DATE, time); }
      else if (isView(value) && value.length !== undefined && addNumbers(row, value)) return;
      else if (isArray(value) && value.length > 0 && addNumbers(row, value)) return;
      else addText(row, OTHER, tagged(value, new Set()), results.others);
    } else throw new TypeError(`a ${type} cannot be a value in SQL`);
  };

  const safeNumber = (value) => {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new TypeError(`the BigInt ${value} does not fit a number`);
    return number;
  };

  // A value as JSON can hold it: ["n", "NaN"], ["d", milliseconds], ["a", items], ["o", names, values].
  const tagged = (value, around) => {
    if (value === null || value === undefined) return null;
    const type = typeof value;
    if (type === "boolean" || type === "string") return value;
    if (type === "number") return isFinite(value) ? value : ["n", String(value)];
    if (type === "bigint") return safeNumber(value);
    if (type !== "object") throw new TypeError(`a ${type} cannot be a value in SQL`);
    const time = dateOf(value);
    if (time !== null) return time === time ? ["d", time] : null;
    if (apply(setHas, around, [value])) throw new TypeError("the object holds itself, which no value in SQL can");
    apply(setAdd, around, [value]);
    let made;
    if (isArray(value) || (isView(value) && value.length !== undefined)) {
      const items = [];
      for (let i = 0; i < value.length; i++) set(items, i, tagged(value[i], around));
      made = ["a", items];
    } else {
      const names = keys(value), values = [];
      for (let i = 0; i < names.length; i++) set(values, i, tagged(value[names[i]], around));
      made = ["o", names, values];
    }
    apply(setDelete, around, [value]);
    return made;
  };

  // -- what Python calls ------------------------------------------------------------------------------------------------

  let makers = [], buffer = null, count = 0, made = 0, failure = null;

  const described = (error) => {
    if (error !== null && typeof error === "object" && error instanceof Error) {
      const place = /, <anonymous>:(\d+):(\d+)\)/.exec(String(error.stack));
      const at = place ? ` (line ${Number(place[1]) - 2}, column ${place[2]} of the script)` : "";
      return `${error.name}: ${error.message}${at}`;
    }
    if (typeof error === "object" && error !== null) return stringify(error) ?? String(error);
    return String(error);
  };

  return {
    compile(parameters, code) {
      userFunction = null;
      try {
        userFunction = new Function(...parse(parameters), `${code}\n`);
        return "";
      } catch (error) {
        return `${error.name}: ${error.message}`;
      }
    },
    allocate(bytes) { return (buffer = new ArrayBuffer(bytes)); },
    progress() { return progress.buffer; },
    start(trees, texts, rows) {
      const lists = parse(texts);
      makers = parse(trees).map((tree) => argumentMaker(openTree(tree, buffer, lists)));
      count = rows;
      failure = null;
      progress[0] = 0;
    },
    // Runs rows until all are done or the slice is over; the number of rows done.
    run() {
      const end = now() + SLICE_MS, first = progress[0];
      let row = first;
      startResults(count - first);
      const given = new Array(makers.length);
      for (; row < count; row++) {
        progress[0] = row;
        for (let i = 0; i < makers.length; i++) given[i] = makers[i](row);
        try {
          addResult(row - first, apply(userFunction, undefined, given));
        } catch (error) {
          failure = error;
          return -1;
        }
        const isFull = results.used > SLICE_NUMBERS || results.characters > SLICE_CHARACTERS;
        if (isFull || ((row & 15) === 15 && now() > end)) { row++; break; }
      }
      progress[0] = row;
      made = row - first;
      return row;
    },
    failure() { return described(failure).slice(0, 2000); },
    log() { const text = stringify(logged); logged = []; loggedCharacters = 0; return text; },
    // Whole buffers, which the driver keeps: one that only Python knows of is freed under its hands.
    kinds() { return results.kinds.buffer; },
    lengths() { return results.lengths.buffer; },
    numbers() { return results.numbers.buffer; },
    made() { return stringify([made, results.used]); },
    texts() { return stringify(results.texts); },
    others() { return stringify(results.others); },
  };
})()
