// ArrayBuffers that can grow, which the language knows longer than its type library.

export interface ResizableBuffer extends ArrayBuffer {
  readonly resizable: true;
  readonly maxByteLength: number;
  resize(byteLength: number): void;
}

export function isResizable(buffer: ArrayBufferLike): buffer is ResizableBuffer {
  return (buffer as Partial<ResizableBuffer>).resizable === true;
}

export function resizableBuffer(byteLength: number, maxByteLength: number): ArrayBuffer {
  const Resizable = ArrayBuffer as new (byteLength: number, options: { maxByteLength: number }) => ArrayBuffer;
  return new Resizable(byteLength, { maxByteLength });
}
