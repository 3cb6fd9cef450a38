import { SetMetadata } from '@nestjs/common';

/** Where {@link Public} leaves its mark. */
export const IS_PUBLIC = 'keyward:public-to-keys';

/** A route or controller that takes no key: everybody may call it. */
export const Public = (): MethodDecorator & ClassDecorator => SetMetadata(IS_PUBLIC, true);
